"""Row files of a study in miniature: those of some patients of the published demo, a phantom."""

from tumorcf_lib import config
from tumorcf_lib.study import side_studies

READ = side_studies.reader(config.published("demo"))
NAMES = "predictions validation edits networks probes planes quality detector".split()


def study():
    """Every row file by name, of two tested slices of twelve patients a class, numbered from 0."""
    rows = {name: READ(name) for name in [*(f"rows_{name}" for name in NAMES), "covariates"]}
    predictions, few = rows["rows_predictions"], {"rows_validation": rows.pop("rows_validation")}
    patients = predictions.drop_duplicates("person_id").groupby("label")["person_id"].head(12)
    own = predictions[predictions["person_id"].isin(patients)].groupby("person_id").head(2)
    number = {slice_id: k for k, slice_id in enumerate(own["slice_id"])}
    for name, table in rows.items():
        chosen = table[table["slice_id"].isin(own["slice_id"])].reset_index(drop=True)
        few[name] = chosen.assign(slice_id=chosen["slice_id"].map(number))
    return few
