"""Row files of a study in miniature: those of some patients of the published demo, a phantom."""

from tumorcf_lib import config
from tumorcf_lib.study import side_studies

READ = side_studies.reader(config.published("demo"))
NAMES = "predictions validation edits networks probes planes quality detector".split()


def study():
    """Every row file by name, of two tested slices of twelve patients a class."""
    rows = {name: READ(name) for name in [*(f"rows_{name}" for name in NAMES), "covariates"]}
    predictions, validation = rows["rows_predictions"], rows.pop("rows_validation")
    patients = predictions.drop_duplicates("person_id").groupby("label")["person_id"].head(12)
    own = predictions[predictions["person_id"].isin(patients)].groupby("person_id").head(2)
    few = {name: table[table["slice_id"].isin(own["slice_id"])] for name, table in rows.items()}
    return few | {"rows_validation": validation}
