"""What each command of ``python -m tumorcf_lib`` does, from its parsed options."""

REAL_PROFILES = ("paper-lite", "paper-lite-cv", "paper")


def _study(options):
    from tumorcf_lib import config
    from tumorcf_lib.study import runtime

    profile = runtime.resolve(options.profile)
    return runtime.Study(profile, options.seed, config.run(profile.name))


def run(options):
    """Run the notebooks of a profile, or a study without notebooks."""
    from tumorcf_lib.study import notebooks

    study = _study(options)
    if not study.profile.has_notebooks:
        _refuse_notebook_options(options, study)
    if study.profile.cohort == "calibration":
        return calibrate(options)
    _find_dataset(options, study)
    if not study.profile.has_notebooks:
        return _train_folds(study, options.seed)
    notebooks.run(
        study, first=options.first, last=options.last, fresh=options.fresh,
        published=options.reference,
    )  # fmt: skip


def _refuse_notebook_options(options, study):
    from tumorcf_lib.study import stages

    if (options.first, options.last) != ("01", "06") or options.fresh or options.reference:
        raise stages.StageError(
            f"Profile {study.profile.name!r} runs without notebooks, so --from, --to, --fresh and "
            f"--reference say nothing to it. To begin anew, remove runs/{study.profile.name}."
        )


def _find_dataset(options, study):
    """Say which profile is run and why; fetch the dataset if that is what was asked for."""
    from tumorcf_lib import config
    from tumorcf_lib.data import archives
    from tumorcf_lib.study import runtime

    folder, found = config.data_folder(), archives.has_dataset(config.data_folder())
    if config.names_data_folder() and not found and options.profile in ("auto", *REAL_PROFILES):
        raise archives.not_found(folder, archives.lacking(archives.find(folder)))
    why = runtime.choose_profile()[1] if options.profile == "auto" else "as asked"
    print(f"Profile {study.profile.name}: {why}.")
    if not study.profile.is_phantom and not found:
        download(options)


def status(options):
    """Which notebooks are up to date, and why the others are not."""
    from tumorcf_lib import config
    from tumorcf_lib.study import stages

    study = _study(options)
    if not study.profile.has_notebooks:
        raise stages.StageError(
            f"Profile {study.profile.name!r} runs without notebooks, and status tells of these "
            f"only. What is finished of it lies in {config.shown(study.folder)}."
        )
    for name in stages.NAMES:
        print(f"{name:<20} {stages.why_stale(study, name) or 'up to date'}")


def report(options):
    """One page of a finished run."""
    from tumorcf_lib import config
    from tumorcf_lib.publish import page as run_page
    from tumorcf_lib.study import progress

    with progress.clock("writing the page"):
        page = run_page.write(_study(options))
    print(f"One page, {page.stat().st_size / 1e6:.1f} MB: {config.shown(page)}")
    print("It needs no Python and no network: open it in a browser, or send it to somebody.")


def readme(options):
    """The generated parts of README and notebooks anew."""
    from tumorcf_lib.publish import readme

    readme.update()
    print("README.md and the openings of the notebooks are written anew.")


def download(options):
    """The published archives into the data folder."""
    from tumorcf_lib import config
    from tumorcf_lib.data import download

    download.download(config.data_folder())


def calibrate(options):
    """The networks whose answer is known."""
    from tumorcf_lib import config
    from tumorcf_lib.networks import classifier
    from tumorcf_lib.study import calibration, notebooks

    profile = config.get("calibration")
    with notebooks.only_run(config.run(profile.name)):
        classifier.set_up(options.seed)
        calibration.run(config.run(profile.name), profile, seed=options.seed)
    print(f"Rows of every network: {config.shown(config.run(profile.name))}")
    print("Publish them by: python -m tumorcf_lib publish calibration")


def train(options):
    """Folds of the cross-validation, or a recipe of it."""
    study = _study(options)
    _find_dataset(options, study)
    _train_folds(
        study, options.seed, fold_numbers=options.fold, recipe=options.recipe,
        shuffled=options.shuffled,
    )


def _train_folds(study, seed, **chosen):
    from dataclasses import replace

    from tumorcf_lib.study import folds

    folds.run(replace(study, seed=0), seed=seed, **chosen)
    print(f"Publish all finished folds by: python -m tumorcf_lib publish {study.profile.name}")


def leak(options):
    """What a split that leaks is worth."""
    from tumorcf_lib import config
    from tumorcf_lib.study import leak, notebooks

    with notebooks.only_run(config.run("leak")):
        folder = leak.run_study(n_folds=options.folds, seed=options.seed)
    print(f"Rows of every arm: {config.shown(folder)}")
    print("Publish them by: python -m tumorcf_lib publish leak")


def scratch(options):
    """A ResNet-50 from random weights."""
    from dataclasses import replace

    from tumorcf_lib import config
    from tumorcf_lib.study import notebooks, scratch

    chosen = {"size_px": options.size, "epochs": options.epochs}
    profile = replace(scratch.PROFILE, **{k: v for k, v in chosen.items() if v is not None})
    folder = config.run(scratch.NAME)
    with notebooks.only_run(folder):
        scratch.run(folder, profile, minutes=options.minutes, seed=options.seed)
    print(f"Publish it by: python -m tumorcf_lib publish {scratch.NAME}")


def publish(options):
    """Copy what git may hold of a run to ``figures/``."""
    from tumorcf_lib.publish import publish

    publish.publish(options.profile, seed=options.seed, from_rows=options.from_rows)


def card(options):
    """A published run's model card anew."""
    from tumorcf_lib import config
    from tumorcf_lib.publish import model_card

    print(f"Written anew: {config.shown(model_card.renew(options.folder))}")


def verify(options):
    """Recompute published tables; the exit status."""
    from tumorcf_lib.publish import publish

    return publish.verify_all(options.folders)


def compare(options):
    """Hold two runs against each other; the exit status."""
    from tumorcf_lib.publish import compare

    return compare.run(options.first, options.second)
