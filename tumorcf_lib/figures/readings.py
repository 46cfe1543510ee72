"""What each figure shows, in one sentence read from its tables.

A function has the name of the function that draws, and takes the tables of which the figure is
made; figures of slices are read from the rows behind them. Notebooks show the sentence under the
figure, the gallery beside it.
"""

import numpy as np

from tumorcf_lib.figures.controls import INFILL_NAMES, of_common_slices
from tumorcf_lib.figures.style import order_classes
from tumorcf_lib.stats.rows import ALL, listed
from tumorcf_lib.tables.leak import APART, DIFFERENCE, KNOWN


def number(value, places=3):
    """A rounded number, without the sign of a zero; "none" for a missing one.

    >>> number(-0.0001), number(float("nan"))
    ('0.000', 'none')
    """
    return f"{round(value, places) + 0.0:.{places}f}" if np.isfinite(value) else "none"


def interval(row, value="effect"):
    return f"{number(row[value])} [{number(row['low'])}, {number(row['high'])}]"


def _records(table, **keys):
    """Rows with these values, by group: classes in their order, then all."""
    own = table[(table[list(keys)] == list(keys.values())).all(axis=1)]
    found = {row["group"]: row for row in own.to_dict("records")}
    names = [*order_classes(name for name in found if name != ALL), ALL]
    return {name: found[name] for name in names if name in found}


def _classes(rows):
    return {name: row for name, row in rows.items() if name != ALL}


# -- cohort and slices ----------------------------------------------------------------------------


def examples(slices):
    areas = slices.groupby("label")["tumor_share"].median()
    own = [f"{areas[name]:.1%} of a {name} slice" for name in order_classes(areas.index)]
    return f"The median tumor covers {listed(own)}."


def cohort(slices, split):
    people = slices.groupby("label")["person_id"].nunique()
    own = [f"{n} with {name}" for name, n in people[order_classes(people.index)].items()]
    first = split[split["fold"] == split["fold"].min()]
    n = first[first["part"] == "test"]["person_id"].nunique()
    whole = f"{len(slices)} slices of {slices['person_id'].nunique()} patients"
    return f"{whole}: {listed(own)}; {n} patients are tested and never trained on."


def preprocessing(slices):
    sizes = [
        f"{height} x {width}"
        for height, width in slices[["height", "width"]].drop_duplicates().itertuples(index=False)
    ]
    return (
        f"Slices of {listed(sizes[:3])} px are clipped, scaled and resized; steps 2 to 4 "
        "change gray values and move no pixel."
    )


def intensities(slices):
    n = slices.groupby("label")["slice_id"].size()
    own = listed(f"{n[name]} {name}" for name in order_classes(n.index))
    return (
        f"A sample of {own} slices: stored brightness differs from slice to slice, and "
        "z-scores bring all to one scale."
    )


def errors(predictions):
    classes = order_classes(predictions["label"])
    called = predictions[[f"p_{name}" for name in classes]].to_numpy().argmax(axis=1)
    called = np.array(classes)[called]
    wrong = predictions.assign(called=called)[called != predictions["label"].to_numpy()]
    if wrong.empty:
        return f"None of {len(predictions)} tested slices is misclassified."
    (true, most), n = wrong.groupby(["label", "called"]).size().sort_values().index[-1], len(wrong)
    k = wrong.groupby(["label", "called"]).size().max()
    return (
        f"{n} of {len(predictions)} tested slices are misclassified, most often a {true} "
        f"that is called {most} ({k})."
    )


def edits(scores):
    middle = scores.groupby("label")[["p_orig", "delta_drop", "sham_drop"]].median()
    own = [
        f"{name} {number(row['delta_drop'], 2)} (sham {number(row['sham_drop'], 2)})"
        for name, row in middle.loc[order_classes(middle.index)].iterrows()
    ]
    return f"Median fall of the true class's probability without the tumor: {listed(own)}."


# -- the network ----------------------------------------------------------------------------------


def learning_curves(history):
    best = history[history["best"]].iloc[-1]
    last = history.iloc[-1]
    return (
        f"Epoch {best['epoch']:.0f} of {len(history)} is kept: {best['val_accuracy']:.1%} of "
        f"the validation slices are right, and {last['accuracy']:.1%} of the training slices "
        "at the end."
    )


def confusion(table):
    matrix, names = table.drop(columns="true").to_numpy(), list(table["true"])
    off = matrix - np.diag(np.diag(matrix))
    i, k = np.unravel_index(off.argmax(), off.shape)
    share = np.trace(matrix) / matrix.sum()
    return (
        f"{share:.1%} of {matrix.sum()} slices are called right; {off[i, k]} of {off.sum()} "
        f"errors are a {names[i]} called {names[k]}."
    )


def reliability(table):
    by = table[table["kind"].str.startswith("slices")].groupby("kind", sort=False).first()
    first, *scaled = by.to_dict("records")
    seen = table[(table["kind"] == "slices") & (table["n"] > 0)]
    over = np.average(seen["accuracy"] - seen["confidence"], weights=seen["n"])
    side = "more often right than its probabilities say" if over > 0 else "too sure of itself"
    after = "".join(
        f"; a temperature of {row['temperature']:.2f} leaves {row['ece']:.3f}" for row in scaled
    )
    return f"The network is {side}: calibration error {first['ece']:.3f} (slices){after}."


# -- scores ---------------------------------------------------------------------------------------


def answer(table, *, chance=None):
    if table.empty:
        return "There are no such patients."
    share = table.set_index(["label", "edit"])["share"]
    names = order_classes(table["label"])
    falls = [
        f"{name} {share[name, 'original']:.0%} to {share[name, 'remove']:.0%}" for name in names
    ]
    told = f"Painting the tumor out moves the share called right: {listed(falls)}"
    if "blank" not in set(table["edit"]):
        kept = [f"{share[name, 'background']:.0%}" for name in names]
        return f"{told}; with black in place of the tumor it is {listed(kept)}."
    most = max(names, key=lambda name: share[name, "blank"])
    return (
        f"{told}; of empty slices {share[most, 'blank']:.0%} of the {most} slices still count "
        "as right."
    )


def headline(means):
    delta, sham, net = (_records(means, score=f"{name}_drop") for name in ("delta", "sham", "net"))
    most = max(_classes(net), key=lambda name: net[name]["effect"])
    rest = [f"{name} {number(net[name]['effect'])}" for name in _classes(net) if name != most]
    falls = [number(rows[most]["effect"]) for rows in (delta, sham)]
    return (
        f"{most.capitalize()} depends most on its tumor: P falls by {falls[0]} without it, by "
        f"{falls[1]} when a sham is painted out; Net-Drop {interval(net[most])}, beside "
        f"{listed(rest)}."
    )


def fall_to(table):
    share = table.set_index(["edit", "label", "to"])["share"]
    names = order_classes(table["label"])
    kept = [f"{share['remove', name, name]:.0%} of {name}" for name in names]
    blank = table[table["edit"] == "blank"].groupby("to")["n"].sum()
    empty = f"{blank.max() / blank.sum():.0%} of empty slices are called {blank.idxmax()}"
    return (
        f"With the tumor painted out {listed(kept)} slices are still called right; {empty}: "
        "where a class is the default, a small fall is no evidence."
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
    own = scores.groupby("label")
    both = own.apply(
        lambda s: ((s["delta_drop"] > 0.5) & (s["delta_focus"] > 0.5)).mean(), include_groups=False
    )
    told = [f"{both[name]:.0%} of {name}" for name in order_classes(both.index)]
    return (
        "The tumor is both needed and enough (Delta-Drop and Delta-Focus above one half) for "
        f"{listed(told)} slices."
    )


def dilations(table):
    table = of_common_slices(table, "dilation_px")
    net = table[(table["score"] == "net_drop") & (table["group"] != ALL)]
    wide = net.pivot(index="group", columns="dilation_px", values="effect")
    own = [
        f"{name} from {number(row.min(), 2)} to {number(row.max(), 2)}"
        for name, row in wide.loc[order_classes(wide.index)].iterrows()
    ]
    return (
        f"From {wide.columns.min()} to {wide.columns.max()} px of dilation Net-Drop ranges: "
        f"{listed(own)}."
    )


# -- claims and controls --------------------------------------------------------------------------


def primary(table):
    own = table.groupby("verdict", sort=False)["claim"].size()
    told = [
        f"{n} {'holds' if verdict == 'holds' and n == 1 else verdict.replace('holds', 'hold')}"
        for verdict, n in own.items()
    ]
    why = (
        ""
        if table["n_null"].max() > 0
        else (
            "; the networks that know nothing, which most are to be read against, are not "
            "trained yet"
        )
    )
    return f"Of {len(table)} claims {listed(told)}{why}."


def energy(table):
    own = table[table["scale"] == "probability"]
    ratio = _records(table, quantity="rms_ratio")
    rows = [_records(own, quantity=f"net_drop{kind}") for kind in ("", "_matched")]
    told = [
        f"{name} {number(row['effect'])} / {number(rows[1][name]['effect'])}"
        for name, row in _classes(rows[0]).items()
        if name in rows[1]
    ]
    return (
        f"A removal changes {ratio[ALL]['effect']:.1f} times what a sham changes; Net-Drop "
        f"with all shams / with shams of like energy: {listed(told)}."
    )


def probes(table):
    own = table[(table["group"] == ALL) & (table["metric"] == "balanced accuracy")]
    by = own.set_index(["probe", "network"])["value"]
    return (
        f"A small network trained on slices with the tumor cut out reaches a balanced accuracy "
        f"of {by['background', 'retrained']:.3f}, the same network on whole slices "
        f"{by['original', 'retrained']:.3f}; chance is {own['chance'].iloc[0]:.3f}."
    )


def networks(table):
    told = []
    for name in dict.fromkeys(table["network"]):
        own = table[(table["network"] == name) & (table["group"] == ALL)]
        by = own.set_index(["score", "infill"])["effect"]
        told.append(
            f"{name} {by['net_drop', 'navier_stokes']:.3f} ({by['accuracy', '']:.1%} right)"
        )
    return f"Net-Drop of all slices: {listed(told)}."


def infills(scores, quality, detector):
    own = of_common_slices(scores[scores["score"] == "net_drop"], "infill")
    by = own[own["group"] == ALL].set_index("infill")["effect"]
    seen = detector[detector["group"] == ALL].groupby("infill")["auc"].max()
    low, high = by.idxmin(), by.idxmax()
    name = {key: INFILL_NAMES.get(key, key.replace("_", " ")) for key in by.index}
    return (
        f"Net-Drop of all slices is {by[low]:.3f} ({name[low]}) to {by[high]:.3f} "
        f"({name[high]}); a detector tells edited slices from untouched ones with AUC "
        f"{seen.min():.2f} to {seen.max():.2f}."
    )


def covariates(table):
    own = table[(table["covariate"] == "area") & (table["score"] == "net_drop")]
    rows = _classes({row["group"]: row for row in own.to_dict("records")})
    told = [f"{name} {interval(row)}" for name, row in rows.items()]
    return f"A tumor one standard deviation larger goes with a change of Net-Drop: {listed(told)}."


def robustness(table):
    own = table[(table["scale"] == "probability") & (table["group"] != ALL)]
    told = []
    for name in order_classes(own["group"]):
        rows = own[own["group"] == name]
        told.append(
            f"{name} from {number(rows['effect'].min(), 2)} to {number(rows['effect'].max(), 2)}"
        )
    n = own["variant"].nunique()
    return f"Over {n} variants of the analysis Net-Drop ranges: {listed(told)}."


# -- studies without notebooks --------------------------------------------------------------------


def folds(table, elsewhere):
    own = elsewhere[elsewhere["source"].str.startswith("this project")].iloc[-1]
    low, high = table["slice_accuracy"].min(), table["slice_accuracy"].max()
    return (
        f"Folds score {low:.3f} to {high:.3f} of their slices; together {own['slices']:.3f} of "
        f"the slices and {own['persons']:.3f} of the patients are right."
    )


def leak(table, *_):
    by = table[(table["score"] == "right") & (table["group"] == ALL)].set_index(["labels", "arm"])
    told = [
        f"{by.loc[(labels, APART), 'effect']:.3f} and {by.loc[(labels, KNOWN), 'effect']:.3f}"
        for labels in ("own", "shuffled")
    ]
    more = interval(by.loc[("own", DIFFERENCE)])
    return (
        f"Without and with the tested patients' other slices in training, the network is right "
        f"on {told[0]} of the same slices (difference {more}); with labels shuffled, where "
        f"only the leak can help, on {told[1]}."
    )


def known_answers(null, planted):
    null = null[(null["scale"] == "probability") & (null["group"] == ALL)]
    nothing = [f"{row.kind} {row.effect:+.4f}" for row in null.itertuples()]
    own = planted[(planted["score"] == "net_drop") & (planted["group"] == ALL)]
    first, *_, last = (number(effect, 2) for effect in own.sort_values("rho")["effect"])
    return (
        f"Networks that know nothing have a Net-Drop near 0 ({listed(nothing)}); it falls from "
        f"{first} to {last} as a marker outside the head takes over the class."
    )
