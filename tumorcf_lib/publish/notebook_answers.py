"""The answer in each notebook's opening: two sentences, every number from published tables."""

from tumorcf_lib.figures import readings
from tumorcf_lib.study import pooled, side_studies
from tumorcf_lib.tables import study


def answer(name: str) -> str | None:
    """The paragraph of a notebook; None for one without, or where nothing is published."""
    made = MADE.get(name)
    if made is None or not all(map(side_studies.published, (study.POOLED, study.REFERENCE))):
        return None
    return f"**Answer.** {' '.join(made(side_studies.published(study.REFERENCE)))}"


def _data(read):
    slices, sites = read("slices"), read("table_sites").set_index("class")
    ids, people = (slices[name].nunique() for name in ("patient_id", "person_id"))
    mr = sites["persons with MR IDs"]
    yield f"The {len(slices)} slices carry {ids} patient IDs, which are {people} patients."
    yield (
        f"All {mr.max()} patients with IDs `MR...` have a {mr.idxmax()}: whatever betrays the "
        "site betrays the class."
    )


def _preprocessing(read):
    shifts = read("table_refit_shift")
    yield (
        "With its intensity map frozen, an edit moves no pixel outside the mask (largest "
        f"change {shifts['frozen'].max():.3f})."
    )
    yield (
        f"Refitted after the edit, the map would move some pixel by "
        f"{shifts['refitted'].median():.2f} standard deviations on the median slice."
    )


def _training(read):
    yield f"On patients: {readings.learning_curves(read('history'))}"
    yield "How good it is on patients never used here, notebook 04 says."


def _evaluation(read):
    yield pooled.performance_sentences()[0]
    yield readings.probes(read("table_probes"))


def _controls(read):
    yield f"On patients: {readings.robustness(read('table_robustness'))}"
    yield readings.energy(read("table_energy"))


def _evidence(_):
    yield pooled.performance_sentences()[0]
    yield pooled.answer_sentences()[1]


MADE = {
    "01_data": _data,
    "02_preprocessing": _preprocessing,
    "03_training": _training,
    "04_evaluation": _evaluation,
    "controls": _controls,
    "evidence": _evidence,
    "05_counterfactuals": lambda _: (
        pooled.answer_sentences()[0],
        "What a sham is for, and how the scores come about, is worked out here on one slice.",
    ),
    "06_metrics": lambda _: pooled.answer_sentences()[:2],
}
