"""Where a profile's slices come from: the published dataset, or the phantom."""

from tumorcf_lib import config
from tumorcf_lib.data import published
from tumorcf_lib.data.archives import DatasetNotFoundError
from tumorcf_lib.phantoms import cohort


def load(profile, *, data_dir=None, cache_dir=None):
    """The cohort of a profile: drawn if it is a phantom, else read from the archives.

    Parameters
    ----------
    profile : tumorcf_lib.config.Profile
    data_dir : path, optional
        Folder of the dataset; ``config.data_folder()`` if left out.
    cache_dir : path, optional
        Where slices once read are kept as arrays; ``config.cache()`` if left out.

    Returns
    -------
    tumorcf_lib.data.cohort.Cohort

    Raises
    ------
    tumorcf_lib.data.archives.DatasetNotFoundError
        If the profile needs the dataset and the folder lacks it.
    """
    if profile.cohort == "phantom":
        # A small network input needs no 256 px slice; drawing time grows with the area
        drawn_px = 192 if profile.size_px <= 128 else 256
        return cohort.make_cohort(
            profile.phantom_patients, profile.phantom_slices, size_px=drawn_px, seed=0
        )
    if profile.cohort != "cheng":
        raise config.UnknownProfileError(
            f"Profile {profile.name!r} names the cohort {profile.cohort!r}; known are 'phantom' "
            "and 'cheng'."
        )
    found = published.read(data_dir or config.data_folder(), cache_dir=cache_dir or config.cache())
    absent = [name for k, name in enumerate(config.CLASSES) if k not in set(found.labels)]
    if absent:
        raise DatasetNotFoundError(
            f"Expected slices of every class, got none of {', '.join(absent)} ({found.source}). "
            "This part of the dataset cannot be split: put all four archives there."
        )
    return found


def describe(profile) -> str:
    """One sentence on where the profile's slices come from; reads the dataset if need be."""
    if profile.is_phantom:
        return cohort.SOURCE
    return published.describe(config.data_folder(), cache_dir=config.cache())
