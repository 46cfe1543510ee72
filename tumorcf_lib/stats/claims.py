"""The study's six findings, written down as claims that can fail.

Each finding is claimed in three forms. "paper": as the study states it. "net": net of the
control that could produce the same number without the network reading the tumor. "log-odds":
the same in log-odds, where a probability near 0 or 1 has no ceiling.

A claim names its score as an expression over the columns of ``scores.slice_scores`` (and
``CHANCE``, in finding 5), so the table of claims can be read, and recomputed, without this code.
"""

import math
from collections import Counter
from dataclasses import dataclass

from tumorcf_lib.stats.rows import ALL

FORMS = ("paper", "net", "log-odds")
WITH_ERRORS_BETWEEN = ("meningioma", "glioma")
MOST_CONSISTENT = "pituitary"
CHANCE = "chance_between"
"""Name, in an expression, of the share that :func:`chance_of_errors_between` gives."""

TITLES = {
    1: "Removal lowers confidence", 2: "The tumor alone suffices",
    3: "Errors lean less on the tumor", 4: "Pituitary is the most consistent",
    5: "Errors are meningioma-glioma", 6: "Tumor more than background",
}


@dataclass(frozen=True)
class Claim:
    """One sentence with the number that decides it.

    ``score`` and ``slices`` (which slices count; empty: all tested) are pandas expressions.
    ``kind``: "mean" of the score; "share" of slices whose score is above 0 (by more than
    ``findings.SMALLEST_DROP``); "difference" of means, "spread" (difference of standard
    deviations between persons) or "matched" (difference among slices alike in ``match_on``:
    column names, a class compared as it is, a probability by bins), each for slices where
    ``first`` holds minus the other slices. The claim is that this number is on ``side`` of
    ``margin``. Claims of one finding and form are one family of tests.
    """

    finding: int
    form: str
    group: str
    claim: str
    quantity: str  # a short name for figures
    score: str
    slices: str = ""
    kind: str = "mean"
    first: str = ""
    match_on: tuple = ()
    margin: float = 0.0
    side: str = "above"


def all_claims(classes):
    """Every claim about a classifier of these classes, finding by finding.

    Examples
    --------
    >>> claims = all_claims(("meningioma", "glioma", "pituitary"))
    >>> sorted({claim.finding for claim in claims})
    [1, 2, 3, 4, 5, 6]
    >>> [sum(claim.form == form for claim in claims) for form in FORMS]
    [31, 44, 35]
    """
    return [
        *_removal_lowers_confidence(classes),
        *_tumor_alone_suffices(classes),
        *_errors_lean_less_on_the_tumor(),
        *_pituitary_is_most_consistent(classes),
        *_errors_are_meningioma_glioma(classes),
        *_tumor_over_background(classes),
    ]


def margin_text(margin):
    """A margin as a reader writes it: "0", "1/3" (0.33333, too: tables keep five digits), "0.7"."""
    if margin and math.isclose(1 / margin, round(1 / margin), rel_tol=1e-4) and margin < 1:
        return f"1/{round(1 / margin)}"
    return f"{margin:g}"


def _groups(classes, *conditions):
    """Pairs of a group's name and the expression of its slices: all, then each class."""
    for group in (ALL, *classes):
        wanted = [c for c in conditions if c]
        if group != ALL:
            wanted.append(f"label == {group!r}")
        yield group, " & ".join(f"({c})" for c in wanted)


def _removal_lowers_confidence(classes):
    """Finding 1, on correctly classified slices, overall and per class."""
    lowers = "Taking the tumor out lowers the true class's probability"
    more = "Taking the tumor out lowers it more than taking the same shape out elsewhere"
    half = ", on more than half of the slices"
    in_log_odds = "; in log-odds"
    for group, slices in _groups(classes, "correct"):
        for form, claim, quantity, score, kind, margin in (
            ("paper", lowers, "Delta-Drop", "delta_drop", "mean", 0),
            ("paper", lowers + half, "share of drops", "delta_drop", "share", 1 / 2),
            ("net", more, "Net-Drop", "net_drop", "mean", 0),
            ("net", more + half, "share of net drops", "net_drop", "share", 1 / 2),
            ("log-odds", lowers + in_log_odds, "Delta-Drop", "delta_drop_lo", "mean", 0),
            ("log-odds", more + in_log_odds, "Net-Drop", "net_drop_lo", "mean", 0),
        ):
            yield Claim(1, form, group, claim, quantity, score, slices, kind, margin=margin)


def _tumor_alone_suffices(classes):
    """Finding 2, on all tested slices: "substantial mass" has five yardsticks.

    The last, the silhouette, has the tumor's place and outline but not its look.
    """
    chance = 1 / len(classes)
    beats = "The tumor alone gives the true class more probability than"
    for group, slices in _groups(classes):
        for form, claim, quantity, score, margin in (
            ("paper", f"{beats} chance", "P_only", "p_only", chance),
            ("paper", f"{beats} one half", "P_only", "p_only", 1 / 2),
            ("net", f"{beats} a blank slice", "P_only - P_blank", "p_only - p_blank", 0),
            ("net", f"{beats} the same shape of tumor-free tissue", "Net-Focus", "net_focus", 0),
            ("net", f"{beats} its silhouette, so that its look adds to its shape and place",
             "P_only - P_silhouette", "p_only - p_silhouette", 0),
            ("log-odds", f"{beats} a blank slice; in log-odds", "P_only - P_blank",
             "lo_only - lo_blank", 0),
            ("log-odds", f"{beats} the same shape of tumor-free tissue; in log-odds", "Net-Focus",
             "net_focus_lo", 0),
        ):
            yield Claim(2, form, group, claim, quantity, score, slices, margin=margin)


def _errors_lean_less_on_the_tumor():
    """Finding 3: misclassified minus correct slices, all classes pooled.

    A drop cannot exceed P_orig, which is low on misclassified slices, and errors gather in some
    classes: so the net form also compares slices matched on P_orig, confidence or class.
    """
    lower = "Misclassified slices have a lower"
    alike = "than correct ones of alike probability of the true class"
    sure = "than correct ones of alike confidence, for the predicted class"
    own = "than correct ones of their true class"
    both = "than correct ones of their true class and of alike probability of it"
    drop, focus = "Delta-Drop", "Delta-Focus"
    for form, claim, quantity, score, match_on in (
        ("paper", drop, drop, "delta_drop", ()),
        ("paper", focus, focus, "delta_focus", ()),
        ("net", f"{drop} {alike}", f"{drop}, alike P_orig", "delta_drop", ("p_orig",)),
        ("net", f"{focus} {alike}", f"{focus}, alike P_orig", "delta_focus", ("p_orig",)),
        ("net", f"{drop} {own}", f"{drop}, alike class", "delta_drop", ("label",)),
        ("net", f"{focus} {own}", f"{focus}, alike class", "delta_focus", ("label",)),
        ("net", f"{drop} {both}", f"{drop}, alike class, P_orig", "delta_drop",
         ("label", "p_orig")),
        ("net", f"{focus} {both}", f"{focus}, alike class, P_orig", "delta_focus",
         ("label", "p_orig")),
        ("net", f"{drop} of the predicted class", f"{drop}, predicted class",
         "delta_drop_pred", ()),
        ("net", f"{focus} of the predicted class", f"{focus}, predicted class",
         "delta_focus_pred", ()),
        ("net", f"{drop} {sure}", f"{drop}, alike confidence", "delta_drop_pred",
         ("p_pred_orig",)),
        ("net", f"{focus} {sure}", f"{focus}, alike confidence", "delta_focus_pred",
         ("p_pred_orig",)),
        ("net", "Net-Drop", "Net-Drop", "net_drop", ()),
        ("log-odds", f"{drop}; in log-odds", drop, "delta_drop_lo", ()),
        ("log-odds", f"{focus}; in log-odds", focus, "delta_focus_lo", ()),
        ("log-odds", "Net-Drop; in log-odds", "Net-Drop", "net_drop_lo", ()),
    ):
        yield Claim(3, form, "wrong - correct", f"{lower} {claim}", quantity, score,
                    kind="matched" if match_on else "difference", first="~correct",
                    match_on=match_on, side="below")


def _pituitary_is_most_consistent(classes):
    """Finding 4, on correctly classified slices, against each other class.

    Consistent: the drop is larger on average *and* varies less between patients. One half alone
    is not the finding; a network that never moves has a small spread, too.
    """
    name = MOST_CONSISTENT
    scores = (("paper", "Delta-Drop", "delta_drop", ""),
              ("net", "Net-Drop", "net_drop", ""),
              ("log-odds", "Delta-Drop", "delta_drop_lo", "; in log-odds"),
              ("log-odds", "Net-Drop", "net_drop_lo", "; in log-odds"))
    for other in (c for c in classes if c != name):
        slices = f"correct & (label == {name!r} | label == {other!r})"
        for form, quantity, score, where in scores:
            for kind, side, claim in (
                ("difference", "above", f"{quantity} is larger for {name} than for {other}"),
                ("spread", "below",
                 f"{quantity} varies less between persons for {name} than for {other}"),
            ):
                label = quantity if kind == "difference" else f"SD of {quantity}"
                yield Claim(4, form, f"{name} - {other}", claim + where, label, score, slices,
                            kind, first=f"label == {name!r}", side=side)


def _errors_are_meningioma_glioma(classes):
    """Finding 5, on misclassified slices; net of the network's own chance."""
    one, two = WITH_ERRORS_BETWEEN
    pair = f"[{one!r}, {two!r}]"
    between = f"(label in {pair}) & (predicted in {pair})"
    yield Claim(5, "paper", ALL, f"Most errors are between {one} and {two}",
                "share of errors", between, "~correct", margin=1 / 2)
    yield Claim(5, "net", ALL,
                f"Errors are between {one} and {two} more often than if the network gave each "
                "class as often as it does, but to slices drawn by lot", "share of errors - chance",
                f"1.0 * ({between}) - {CHANCE}", "~correct")


def chance_of_errors_between(labels, predicted):
    """Share of errors between meningioma and glioma if predictions ignored the slice.

    With the same number of slices of each class and the same number of answers of each
    class, but the answers dealt out at random: 1/3 for three classes of one size, each
    answered alike often; the whole observed share for a network that always gives one answer.
    `labels` and `predicted` are of all tested slices; NaN if there could be no error.

    Examples
    --------
    >>> classes = ["meningioma", "glioma", "pituitary"]
    >>> round(chance_of_errors_between(classes, classes), 3)
    0.333
    >>> chance_of_errors_between(classes, ["glioma"] * 3)
    0.5
    """
    true, given = (Counter(names) for names in (labels, predicted))
    one, two = WITH_ERRORS_BETWEEN
    between = true[one] * given[two] + true[two] * given[one]
    pairs = true.total() * given.total()
    errors = pairs - sum(n * given[name] for name, n in true.items())
    return between / errors if errors else math.nan


def _tumor_over_background(classes):
    """Finding 6, on all tested slices: paper form, background inpainted or cut out.

    The net form holds each part against its own control: the tumor alone against tumor-free
    tissue of its shape, or its silhouette; the background alone against a blank slice.
    """
    alone = "The tumor alone gives the true class more probability than"
    for group, slices in _groups(classes):
        for form, claim, quantity, score in (
            ("paper", f"{alone} the background alone", "P_only - P_background",
             "p_only - p_background"),
            ("paper", "Taking the tumor out costs more than taking everything else away",
             "Delta-Drop - (P_orig - P_only)", "delta_drop - (p_orig - p_only)"),
            ("net", "The tumor alone gains more over tumor-free tissue of its shape than the "
             "background alone gains over a blank slice",
             "Net-Focus - (P_background - P_blank)", "net_focus - (p_background - p_blank)"),
            ("net", "The tumor's look adds more to its shape and place than the background "
             "alone adds to a blank slice", "Tumor's look - (P_background - P_blank)",
             "p_only - p_silhouette - (p_background - p_blank)"),
            ("log-odds", f"{alone} the background alone; in log-odds",
             "P_only - P_background", "lo_only - lo_background"),
            ("log-odds",
             "Taking the tumor out costs more than taking everything else away; in log-odds",
             "Delta-Drop - (P_orig - P_only)", "delta_drop_lo - (lo_orig - lo_only)"),
        ):
            yield Claim(6, form, group, claim, quantity, score, slices)
