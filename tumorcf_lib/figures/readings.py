"""What each figure shows, in one sentence read from its tables.

A function has the name of the function that draws, and takes its tables; figures of slices are
read from the rows behind them. Notebooks show the sentence under the figure, the gallery beside it.
"""

import numpy as np

from tumorcf_lib.edits.infills import HEADLINE_INFILL
from tumorcf_lib.figures import forests
from tumorcf_lib.figures.controls import of_common_slices
from tumorcf_lib.figures.style import infill_name
from tumorcf_lib.stats.classification import predicted
from tumorcf_lib.stats.rows import ALL, classes_of, listed
from tumorcf_lib.tables.classifiers import LOOKING
from tumorcf_lib.tables.fold_scores import PLAIN, SHUFFLED
from tumorcf_lib.tables.leak import APART, DIFFERENCE, KNOWN


def number(value, places=3):
    """A rounded number, without the sign of a zero; "none" for a missing one.

    >>> number(-0.0001), number(float("nan"))
    ('0.000', 'none')
    """
    return f"{round(value, places) + 0.0:.{places}f}" if np.isfinite(value) else "none"


def _each(classes, say):
    """What is said of each class, in their order, as a sentence lists it."""
    return listed(say(name) for name in classes_of(classes))


def _records(table, **keys):
    """Rows with these values, by class."""
    own = table[(table[list(keys)] == list(keys.values())).all(axis=1) & (table["group"] != ALL)]
    return own.set_index("group").to_dict("index")


def _ranges(table):
    """From where to where the effects of each class go."""
    effects = table[table["group"] != ALL].groupby("group")["effect"]
    ends = effects.agg(["min", "max"]).round(2) + 0.0
    if ends.empty:
        return "too few patients for intervals"
    return _each(ends.index, lambda name: "{} from {:.2f} to {:.2f}".format(name, *ends.loc[name]))


def examples(slices):
    areas = slices.groupby("label")["tumor_share"].median()
    own = _each(areas.index, lambda name: f"{areas[name]:.1%} of a {name} slice")
    return f"The median tumor covers {own}."


def cohort(slices, split):
    people = slices.groupby("label")["person_id"].nunique()
    own = _each(people.index, lambda name: f"{people[name]} with {name}")
    first = split[split["fold"] == split["fold"].min()]
    n = first[first["part"] == "test"]["person_id"].nunique()
    whole = f"{len(slices)} slices of {slices['person_id'].nunique()} patients"
    return f"{whole}: {own}; {n} patients are tested and never trained on."


def preprocessing(slices):
    sizes = slices[["height", "width"]].drop_duplicates().head(3).to_numpy()
    told = listed(f"{height} x {width}" for height, width in sizes)
    return f"Slices of {told} px are clipped, scaled and resized; steps 2 to 4 move no pixel."


def intensities(_):
    return "Stored brightness differs from slice to slice; z-scores bring all to one scale."


def errors(predictions):
    called, n = predicted(predictions), len(predictions)
    wrong = predictions.assign(called=called)[called != predictions["label"]]
    if wrong.empty:
        return f"None of {n} tested slices is misclassified."
    pairs = wrong.groupby(["label", "called"]).size().sort_values()
    (true, called), most = pairs.index[-1], f"{len(wrong)} of {n} tested slices"
    return f"{most} are misclassified, most often a {true} that is called {called} ({pairs.max()})."


def edits(scores):
    middle = scores.groupby("label")[["delta_drop", "sham_drop"]].median().map(number, places=2)
    own = _each(middle.index, lambda name: "{} {} (sham {})".format(name, *middle.loc[name]))
    return f"Median fall of the true class's probability without the tumor: {own}."


def learning_curves(history):
    best, last = history[history["best"]].iloc[-1], history.iloc[-1]
    return (
        f"{best['val_accuracy']:.1%} of the validation slices, of patients it never saw, are "
        f"called right after epoch {best['epoch']:.0f} of {len(history)}, which is kept; of the "
        f"training slices {last['accuracy']:.1%} at the end."
    )


def confusion(table):
    matrix, names = table.drop(columns="true").to_numpy(), list(table["true"])
    off = matrix - np.diag(np.diag(matrix))
    i, k = np.unravel_index(off.argmax(), off.shape)
    right = f"{np.trace(matrix) / matrix.sum():.1%} of {matrix.sum()} slices are called right"
    return f"{right}; {off[i, k]} of {off.sum()} errors are a {names[i]} called {names[k]}."


def reliability(table):
    by = table[table["kind"].str.startswith("slices")].groupby("kind", sort=False).first()
    first, *scaled = by.to_dict("records")
    seen = table[(table["kind"] == "slices") & (table["n"] > 0)]
    over = np.average(seen["accuracy"] - seen["confidence"], weights=seen["n"])
    side = "too small" if over > 0 else "too large"
    words = "; temperature scaling ({temperature:.2f} in the mean) leaves {ece:.3f}"
    after = "".join(words.format(**row) for row in scaled)
    return f"Probabilities are {side}: calibration error {first['ece']:.3f} (slices){after}."


def answer(table):
    if table.empty:
        return "There are no such patients."
    if "networks" in table:
        by = table.set_index("networks").groupby(level=0, sort=False)
        return " ".join(f"{answer(own)[:-1]} (networks {name})." for name, own in by)
    share = table.set_index(["label", "edit"])["share"].unstack().loc[classes_of(table["label"])]
    told = share.map("{:.0%}".format)
    if "blank" not in share:  # patients of one class, told apart by their IDs
        own = told.index + " " + told[["original", "remove", "background"]].agg(", ".join, axis=1)
        edits = "as the slices are, with the tumor painted out, and with air in its place"
        return f"Called right {edits}: {'; '.join(own)}."
    falls = listed(told.index + " " + told["original"] + " to " + told["remove"])
    most = share["blank"].idxmax()
    empty = f"of empty {most} slices {told['blank'][most]} are called {most}"
    return f"Called right, from the slices as they are to the tumor painted out: {falls}; {empty}."


def headline(means):
    delta, sham, net = (_records(means, score=f"{name}_drop") for name in ("delta", "sham", "net"))
    most = max(classes_of(net), key=lambda name: net[name]["effect"])
    told = _each(net, lambda name: f"{name} {forests.number(net[name])}")
    falls = [number(rows[most]["effect"]) for rows in (delta, sham)]
    where = f"The largest, of {most}, is a fall of {falls[0]} with the tumor painted out"
    return f"Net-Drop: {told}. {where}, less one of {falls[1]} with a sham."


def fall_to(table):
    share = table.set_index(["edit", "label", "to"])["share"]
    kept = _each(table["label"], lambda name: f"{share['remove', name, name]:.0%} of {name}")
    blank = table[table["edit"] == "blank"].groupby("to")["n"].sum()
    empty = f"{blank.max() / blank.sum():.0%} of empty slices are called {blank.idxmax()}"
    return (
        f"With the tumor painted out {kept} slices are still called right (every slice the "
        f"same); {empty}: each network has a default of its own, and in a default's class a "
        "small fall is no evidence."
    )


def correct_vs_wrong(scores):
    mean = scores.groupby("correct")[["p_orig", "delta_drop"]].mean()
    if len(mean) < 2:
        return "No slice is misclassified, so there is nothing to compare."
    right, wrong = mean.loc[True], mean.loc[False]
    side = "less" if wrong["delta_drop"] < right["delta_drop"] else "more"
    return (
        f"Misclassified slices lose {side} without their tumor (Delta-Drop "
        f"{wrong['delta_drop']:.2f} against {right['delta_drop']:.2f}), but they have less to "
        f"lose: P of the true class is {wrong['p_orig']:.2f} against {right['p_orig']:.2f}."
    )


def drop_vs_focus(scores):
    both = (scores["delta_drop"] > 0.5) & (scores["delta_focus"] > 0.5)
    share = both.groupby(scores["label"]).mean()
    own = _each(share.index, lambda name: f"{share[name]:.0%} of {name}")
    return f"The tumor is needed and enough (Delta-Drop, Delta-Focus above 1/2) for {own} slices."


def dilations(table):
    net = of_common_slices(table[table["score"] == "net_drop"], "dilation_px")
    ends = "{} to {}".format(*net["dilation_px"].agg(["min", "max"]))
    return f"From {ends} px of dilation Net-Drop ranges: {_ranges(net)}."


def primary(table):
    n = table["verdict"].value_counts(sort=False)
    plural = {"holds": "hold", "does not hold": "do not hold"}
    told = listed(f"{k} {plural.get(word, word) if k > 1 else word}" for word, k in n.items())
    return f"Of {len(table)} claims {told}."


def energy(table):
    ratio = table.loc[(table["quantity"] == "rms_ratio") & (table["group"] == ALL), "effect"]
    own = table[table["scale"] == "probability"]
    drops, matched = (_records(own, quantity=f"net_drop_{kind}") for kind in ("same", "matched"))

    def say(name):
        row = matched[name]
        if not np.isfinite(row["low"]):
            return f"{name} (too few slices)"
        both = f"{number(row['effect'])} / {number(drops[name]['effect'])}"
        return f"{name} {both} ({row['n_slices']} slices)"

    return (
        f"The median removal changes {ratio.item():.1f} times what a sham does. Net-Drop by shams "
        f"of like energy (0.8 to 1.25 of the removal's) / by all shams of the same slices: "
        f"{_each(matched, say)}."
    )


def probes(table):
    own = table[(table["group"] == ALL) & (table["metric"] == "balanced accuracy")]
    by = own[own["network"] == "retrained"].set_index("probe")["value"].map("{:.3f}".format)
    told = "A small network trained on slices with the tumor cut out has a balanced accuracy of"
    chance = f"chance is {own['chance'].iloc[0]:.3f}"
    return f"{told} {by['background']}, on whole slices {by['original']}; {chance}."


def networks(table):
    right = table[(table["group"] == ALL) & (table["score"] == "accuracy")]
    told = []
    for name, share in right.set_index("network")["effect"].items():
        drops = _records(table, network=name, score="net_drop", infill=HEADLINE_INFILL)
        falls = ", ".join(f"{label} {number(own['effect'], 2)}" for label, own in drops.items())
        told.append(f"{name} {falls} ({share:.1%} right)")
    return f"Net-Drop: {'; '.join(told)}."


def maps(table):
    own = table[table["group"] == ALL].set_index(["network", "slices"])
    density, r = own["density"].map("{:.1f}".format), own["spearman"].map("{:.2f}".format)
    told = f"{density[PLAIN].str.cat(sep=' / ')} times as dense on the tumor as in the whole head"
    told = f"Maps are {told} (slices: {' / '.join(density[PLAIN].index)})"
    nothing = f" (networks that know nothing: {r[SHUFFLED, ALL]})" if SHUFFLED in r else ""
    return f"{told}; rank correlation with Net-Drop {r[PLAIN, ALL]}{nothing}."


def infills(scores, quality, detector):
    own = of_common_slices(scores[scores["score"] == "net_drop"], "infill")
    by = own[own["group"] == ALL].set_index("infill")["effect"]
    seen = detector[detector["group"] == ALL].groupby("view")["auc"].agg(["min", "max"])
    patch, slice = seen.loc[["patch", "slice"]].agg("{0[min]:.2f} to {0[max]:.2f}".format, axis=1)
    low, high = (f"{by[key]:.3f} ({infill_name(key)})" for key in (by.idxmin(), by.idxmax()))
    return (
        f"Net-Drop of all slices is {low} to {high}. A detector that sees the patch finds the "
        f"edit with AUC {patch}, one that sees the slice with {slice}."
    )


def covariates(table):
    rows = _records(table, covariate="area", score="net_drop")
    told = _each(rows, lambda name: f"{name} {forests.number(rows[name])}")
    return f"A tumor one standard deviation larger goes with a change of Net-Drop: {told}."


def robustness(table):
    known = (table["scale"] == "probability") & table["low"].notna()
    own = table[known & (table["group"] != ALL) & ~table["variant"].str.startswith(LOOKING)]
    n = own["variant"].nunique()
    return f"Over {n} variants of the analysis Net-Drop ranges: {_ranges(own)}."


def folds(table, elsewhere):
    own = elsewhere[elsewhere["source"].str.startswith("this project")].iloc[-1]
    low, high = table.loc[table["network"] == PLAIN, "slice_accuracy"].agg(["min", "max"])
    _, whose = own["source"].split(": ")
    return (
        f"Single networks are right on {low:.3f} to {high:.3f} of their slices; all together "
        f"({whose}) {own['slices']:.3f} of the slices and {own['persons']:.3f} of the patients are "
        "right."
    )


def leak(table, *_):
    by = table[(table["score"] == "right") & (table["group"] == ALL)].set_index(["labels", "arm"])
    right = by["effect"].map("{:.3f}".format).unstack()
    own, shuffled = right[[APART, KNOWN]].agg(" and ".join, axis=1)[["own", "shuffled"]]
    more = forests.number(by.loc[("own", DIFFERENCE)])
    return (
        f"Without and with the tested patients' other slices in training, the network is right "
        f"on {own} of the same slices (difference {more}); with labels shuffled, where "
        f"only the leak can help, on {shuffled}."
    )


def known_answers(null, planted):
    null = null[(null["score"] == "net_drop") & (null["group"] == ALL)]
    nothing = listed(f"{row.kind} {row.effect:+.4f}" for row in null.itertuples())
    own = planted[(planted["score"] == "net_drop") & (planted["group"] == ALL)]
    first, *_, last = (number(effect, 2) for effect in own.sort_values("rho")["effect"])
    return (
        f"On phantoms networks that know nothing have a mean Net-Drop of {nothing}; it falls from "
        f"{first} to {last} as a marker outside the head takes over the class."
    )
