"""From the runs of tests/bench/reproduce to tables and plots."""
import json
import math
import pathlib

import matplotlib
import numpy
from scipy import stats

matplotlib.use("Agg")
import matplotlib.pyplot as plot  # noqa: E402: after the choice of its back end

NAMES = {"bsnn": "plain", "bsnn_scaled": "plain, rate × mean gate", "bsnn_agmm_detach": "AGMM, gate detached",
         "bsnn_agmm": "AGMM", "snn": "full precision"}
COLOURS = {"bsnn": "#444444", "bsnn_scaled": "#d95f02", "bsnn_agmm_detach": "#7570b3", "bsnn_agmm": "#1b9e77", "snn": "#a6a6a6"}
BEGIN, END = "<!-- measured: begin (written by tests/bench/reproduce) -->", "<!-- measured: end -->"
# Title, unit of the axis, factor, format.
SERIES = {"accuracy": ("test accuracy", "%", 100, "{:.2f}"), "train_accuracy": ("training accuracy", "%", 100, "{:.2f}"),
          "flips": ("sign-flip ratio π", "%", 100, "{:.3f}"),
          "gradient_variance": ("gradient variance", "(loss per weight)²", 1, "{:.3g}"),
          "latent_gradient_variance": ("latent gradient variance", "(loss per weight)²", 1, "{:.3g}"),
          "firing_rate": ("firing rate", "%", 100, "{:.2f}")}


def points(events, name, split="", layer=None, time_step=-1):
    """Epoch to {layer: value} of one metric at the ends of epochs."""
    found = {}
    for e in events:
        if e["type"] == "metric" and e["name"] == name and e["split"] == split and e["time_step"] == time_step:
            if layer is None or e["layer"] == layer:
                found.setdefault(e["epoch"], {})[e["layer"]] = float(e["value"])
    return [found[epoch] for epoch in sorted(found)]


def mean_gate(events):
    """Mean of the gate over layers and epochs of an AGMM run."""
    return float(numpy.mean([v for epoch in points(events, "gate_mean") for layer, v in epoch.items() if layer != "all"]))


def weights_of(run_folder):
    """Layer to its number of weights, from the run's checkpoint (safetensors: length, then a JSON header)."""
    model = max(pathlib.Path(run_folder).glob("checkpoints/step-*/model.safetensors"))
    with open(model, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return {name.removesuffix(".weight"): math.prod(entry["shape"]) for name, entry in header.items() if name.endswith(".weight")}


def pooled_variance(events, prefix, weights):
    """Variance of a step's gradients over all binary layers together, by epoch."""
    out = []
    for means, variances in zip(points(events, prefix + "_mean"), points(events, prefix + "_variance"), strict=True):
        layers = [layer for layer in means if layer != "all"]
        n = numpy.array([weights[layer] for layer in layers], float)
        mean = numpy.array([means[layer] for layer in layers])
        square = numpy.array([variances[layer] for layer in layers]) + mean**2
        out.append((n @ square - (n @ mean) ** 2 / n.sum()) / n.sum())
    return numpy.array(out)


def series(events, weights):
    """Name to one value an epoch."""
    def pooled(name, split="", layer=""):
        return numpy.array([epoch[layer] for epoch in points(events, name, split, layer)])

    epochs = len(pooled("accuracy_ratio", "test"))
    firing = [numpy.mean([v for layer, v in epoch.items() if layer != "all"]) for epoch in points(events, "firing_rate")]
    return {"accuracy": pooled("accuracy_ratio", "test"), "train_accuracy": pooled("accuracy_ratio", "train"),
            "flips": pooled("sign_flip_ratio", layer="all"), "flipped": pooled("flipped_weights_ratio", layer="all"),
            "gradient_variance": pooled_variance(events, "gradient", weights),
            "latent_gradient_variance": pooled_variance(events, "latent_gradient", weights),
            "firing_rate": numpy.array(firing), "epochs": epochs}


def interval(values):
    """Mean and half-width of the 95 % interval of Student's t."""
    values = numpy.asarray(values, float)
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return values.mean(), half


def with_interval(values, pattern):
    mean, half = interval(values)
    return f"{pattern.format(mean)} ± {pattern.format(half)}"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def final(curves, variant, name):
    return numpy.array([run[name][-1] for run in curves[variant]])


def value_table(curves):
    rows = []
    for variant, title in NAMES.items():
        row = [title]
        for name, (_, _, factor, pattern) in SERIES.items():
            row.append(with_interval(factor * final(curves, variant, name), pattern))
        rows.append(row)
    return table(["variant", *(f"{title}{', %' if unit == '%' else ''}" for title, unit, _, _ in SERIES.values())], rows)


def over_run_table(curves):
    """Means over all epochs, since the last epoch of a cosine schedule hardly moves."""
    rows = []
    for variant, title in NAMES.items():
        row = [title]
        for name in ("flips", "gradient_variance", "latent_gradient_variance", "firing_rate"):
            _, _, factor, pattern = SERIES[name]
            row.append(with_interval([factor * run[name].mean() for run in curves[variant]], pattern))
        row.append(with_interval([100 * run["flipped"][-1] for run in curves[variant]], "{:.2f}"))
        rows.append(row)
    return table(["variant", "sign-flip ratio π, %", "gradient variance", "latent gradient variance", "firing rate, %",
                  "weights that ever flipped, %"], rows)


def difference_table(curves):
    """Paired by seed: `variant` against `other`, with Student's t on the differences, of logarithms where factors are shown."""
    rows = []
    for variant, other in (("bsnn_agmm", "bsnn"), ("bsnn_scaled", "bsnn"), ("bsnn_agmm_detach", "bsnn"), ("bsnn_agmm", "bsnn_scaled"),
                           ("bsnn_agmm", "bsnn_agmm_detach"), ("bsnn", "snn"), ("bsnn_agmm", "snn")):
        row = [f"{NAMES[variant]} against {NAMES[other]}"]
        accuracy = 100 * (final(curves, variant, "accuracy") - final(curves, other, "accuracy"))
        cells = [(accuracy, "{:+.2f}")]
        for name in ("flips", "gradient_variance", "firing_rate"):
            ratio = [math.log(a[name].mean() / b[name].mean()) for a, b in zip(curves[variant], curves[other], strict=True)]
            cells.append((numpy.array(ratio), None))
        for values, pattern in cells:
            mean, half = interval(values)
            clear = "**" if abs(mean) > half else ""
            if pattern:
                row.append(f"{clear}{pattern.format(mean)}{clear} ({pattern.format(mean - half)} to {pattern.format(mean + half)})")
            else:  # of logarithms: as factors
                low, middle, high = (math.exp(x) for x in (mean - half, mean, mean + half))
                row.append(f"{clear}× {middle:.3f}{clear} ({low:.3f} to {high:.3f})")
        rows.append(row)
    return table(["", "final test accuracy, points", "π, mean of epochs", "gradient variance, mean", "firing rate, mean"], rows)


def draw(curves, folder):
    """One SVG a series, and returns the Markdown that shows them."""
    folder.mkdir(parents=True, exist_ok=True)
    plot.rcParams.update({"svg.hashsalt": "bsnn", "svg.fonttype": "none", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    shown = []
    for name in ("accuracy", "flips", "gradient_variance", "firing_rate"):
        title, unit, factor, _ = SERIES[name]
        figure, axes = plot.subplots(figsize=(5.6, 3.4), layout="constrained")
        for variant, label in NAMES.items():
            if name == "gradient_variance" and variant == "snn":
                continue  # float weights have another scale, and their gradients with them
            values = factor * numpy.array([run[name] for run in curves[variant]])  # [seeds, epochs]
            epochs = numpy.arange(1, values.shape[1] + 1)
            mean, half = numpy.array([interval(column) for column in values.T]).T
            axes.plot(epochs, mean, color=COLOURS[variant], label=label, linewidth=1.4, marker="o", markersize=2.5)
            axes.fill_between(epochs, mean - half, mean + half, color=COLOURS[variant], alpha=0.18, linewidth=0)
        if name == "gradient_variance":
            axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
        axes.set_xlabel("epoch")
        axes.set_ylabel(f"{title}, {unit}")
        figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=8)
        axes.grid(alpha=0.25, linewidth=0.5)
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None, "Creator": None})
        plot.close(figure)
        shown.append(f"![{title} against epochs]({folder.name}/{name}.svg)")
    return "\n".join(shown)


def write(report, settings, results, work):
    """Rewrites what stands between the markers of `report` (a new file gets a heading), and the plots beside it."""
    curves = {variant: [] for variant in NAMES}
    for (variant, seed), events in sorted(results.items()):
        curves[variant].append(series(events, weights_of(work / f"{variant}-{seed}")))
    spec, seeds = settings["spec"], len(curves["bsnn"])
    gates = [mean_gate(results["bsnn_agmm", seed + 1]) for seed in range(seeds)]
    alphas = [numpy.mean([v for run in [results["bsnn_agmm", seed + 1]] for t in range(64)
                          for epoch in points(run, "alpha", time_step=t)[-1:] for v in epoch.values()]) for seed in range(seeds)]
    started = next(e for e in results["bsnn_agmm", 1] if e["type"] == "started")
    text = f"""{BEGIN}
Specification common to all runs (`docs/spec.md` has the other fields' defaults), {seeds} seeds, device {settings['device']}, CPU threads of a run: {settings['threads']},
bsnn-train SHA-256 {settings['binary'][:16]}…, {started['steps_total']} steps of each run:

    {json.dumps(spec)}

AGMM's mean gate over layers and epochs, which scales the rate in the second variant: {with_interval(gates, '{:.4f}')}; its α at the end, mean over layers
and time steps: {with_interval(alphas, '{:.3f}')}. Values are mean ± half-width of the 95 % interval over seeds (Student's t). Gradients are with respect to
the binary weights as the convolutions see them (*latent*: behind the straight-through rule), pooled over the binary layers; the firing rate is the mean over layers.

**At the last epoch**

{value_table(curves)}

**Mean over all epochs**

{over_run_table(curves)}

**Differences and factors, paired by seed**, with 95 % intervals; bold where the interval leaves out no difference. No correction for the number of comparisons is made:
of 28 such intervals one or two would be bold by chance alone.

{difference_table(curves)}

{draw(curves, report.with_suffix(''))}
{END}"""
    old = report.read_text() if report.exists() else f"# Reproduction\n\n{BEGIN}\n{END}\n"
    if BEGIN not in old or END not in old:
        raise SystemExit(f"{report} has no place for the results: put {BEGIN} and {END} into it")
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(old[:old.index(BEGIN)] + text + old[old.index(END) + len(END):])
