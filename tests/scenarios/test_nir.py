"""NIR files: read back by the nir package, their parameters compared, and run in NumPy against bsnn-train's own logits."""
import json
import struct

import pytest
from test_packed import BIN, call, numpy_file
from test_trainer import newest, run

np = pytest.importorskip("numpy")
safe_open = pytest.importorskip("safetensors").safe_open
nir = pytest.importorskip("nir")


def job(name, kind="bsnn", **fields):
    spec = {"network": {"name": name, "kind": kind, "time_steps": 3},
            "data": {"name": "fashion_mnist"},
            "training": {"epochs": 1, "batch_size": 32}}
    for section, values in fields.items():
        spec.setdefault(section, {}).update(values)
    return spec


def windows(x, kernel, stride, padding):
    """[N, C, H, W] to [N, C, H', W', k, k], zeros around."""
    padding = [(0, 0), (0, 0), *((int(p), int(p)) for p in padding)]
    view = np.lib.stride_tricks.sliding_window_view(np.pad(x, padding), tuple(int(k) for k in kernel), axis=(2, 3))
    return view[:, :, ::int(stride[0]), ::int(stride[1])]


class Runner:
    """Runs a graph one time step at a time, as the NIR paper defines its nodes; LIF by Euler steps of dt."""

    def __init__(self, graph):
        self.nodes, self.dt = graph.nodes, float(graph.metadata["dt"])
        self.inputs = {name: [a for a, b in graph.edges if b == name] for name in graph.nodes}
        self.order, rest = [], dict(self.inputs)
        while rest:
            ready = [name for name, before in rest.items() if all(b in self.order for b in before)]
            assert ready, "the graph has a cycle"
            self.order += ready
            for name in ready:
                del rest[name]
        self.potential = {}

    def step(self, pictures):
        out = {}
        for name in self.order:
            node = self.nodes[name]
            x = pictures if not self.inputs[name] else sum(out[before] for before in self.inputs[name])
            out[name] = getattr(self, type(node).__name__)(name, node, x)
        (end,) = [name for name, node in self.nodes.items() if isinstance(node, nir.Output)]
        return out[end]

    def Input(self, name, node, x):
        assert x.shape[1:] == tuple(node.input_type["input"])
        return x

    def Output(self, name, node, x):
        return x

    def Conv2d(self, name, node, x):
        assert tuple(node.dilation) == (1, 1) and node.groups == 1 and x.shape[2:] == tuple(node.input_shape)
        view = windows(x, node.weight.shape[2:], node.stride, node.padding)
        return np.einsum("nchwij,ocij->nohw", view, node.weight.astype(x.dtype), optimize=True) + node.bias.astype(
            x.dtype)[None, :, None, None]

    def LIF(self, name, node, x):
        v = self.potential.get(name, np.zeros_like(x))
        v = v + self.dt / node.tau * (node.v_leak - v + node.r * x)
        spikes = v > node.v_threshold
        self.potential[name] = np.where(spikes, node.v_reset, v)
        return spikes.astype(x.dtype)

    def IF(self, name, node, x):
        v = self.potential.get(name, np.zeros_like(x)) + self.dt * node.r * x
        spikes = v > node.v_threshold
        self.potential[name] = np.where(spikes, node.v_reset, v)
        return spikes.astype(x.dtype)

    def Threshold(self, name, node, x):
        return (x > node.threshold).astype(x.dtype)

    def SumPool2d(self, name, node, x):
        return windows(x, node.kernel_size, node.stride, node.padding).sum((-1, -2))

    def AvgPool2d(self, name, node, x):
        return windows(x, node.kernel_size, node.stride, node.padding).mean((-1, -2))

    def Flatten(self, name, node, x):
        assert (node.start_dim, node.end_dim) == (0, -1) and x.shape[1:] == tuple(node.input_type["input"])
        return x.reshape(len(x), -1)

    def Affine(self, name, node, x):
        return x @ node.weight.T.astype(x.dtype) + node.bias.astype(x.dtype)


def write_idx(path, array):
    path.write_bytes(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes())


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with IDX files of ten noisy figures, and the test pictures as a network is given them."""
    folder, dice = tmp_path_factory.mktemp("data"), np.random.default_rng(1)
    figures = dice.integers(0, 256, (10, 28, 28))
    for part, count in (("train", 320), ("t10k", 64)):
        labels = dice.integers(0, 10, count)
        noise = dice.integers(0, 256, (count, 28, 28))
        pictures = ((figures[labels] + noise) // 2).astype(np.uint8)
        write_idx(folder / f"{part}-images-idx3-ubyte", pictures)
        write_idx(folder / f"{part}-labels-idx1-ubyte", labels.astype(np.uint8))
    return folder, (pictures[:, None] / 255.0 - 0.2860) / 0.3530  # docs/nir.md


def trained(folder, spec, data):
    code, errors = run(folder, spec=spec, data=data[0])
    assert code == 0, errors
    return newest(folder)


def exported(model, folder):
    file = folder / "model.nir"
    said = call(f"{BIN}/bsnn-train", "--export", "nir", "--model", model, "--out", file)
    assert said == f"wrote {file}: {file.stat().st_size} bytes\n"
    return file


@pytest.mark.parametrize("spec", [
    job("convnet"), job("convnet", neuron={"decay": 1.0}, binarization={"method": "mean_abs"}),
    job("convnet", neuron={"decay": 0.0}), job("convnet", kind="snn"), job("bireal_resnet8", network={"ends": "int8"}),
], ids=["convnet", "if", "no_memory", "snn", "bireal_resnet8"])
def test_the_graph_computes_what_the_trainer_does(data, tmp_path, spec):
    checkpoint = trained(tmp_path, spec, data)
    call(f"{BIN}/bsnn-train", "--evaluate", checkpoint, "--data", data[0], "--device", "cpu", "--threads", "1", "--logits",
         tmp_path / "logits")
    expected = numpy_file.load_file(tmp_path / "logits")["logits"]
    graph = nir.read(exported(checkpoint, tmp_path))
    runner = Runner(graph)
    logits = np.mean([runner.step(data[1]) for _ in range(int(graph.metadata["time_steps"]))], axis=0)
    assert logits.shape == expected.shape == (64, 10) and expected.std() > 0.01
    # A potential within rounding of the threshold may fire in one and not in the other.
    equal = np.abs(logits - expected).max(1) < 1e-4 * np.abs(expected).max()
    print(f"{equal.sum()} of 64 pictures, largest difference there "
          f"{np.abs(logits - expected)[equal].max() / np.abs(expected).max():.1e}")
    assert equal.mean() >= 0.9 and (logits.argmax(1) == expected.argmax(1)).mean() >= 0.95


def test_parameters_are_the_folded_ones(data, tmp_path):
    """convnet, standardized: every node's numbers from the packed model beside the checkpoint."""
    checkpoint = trained(tmp_path, job("convnet", neuron={"decay": 0.75, "threshold": 0.5}), data)
    file = exported(checkpoint, tmp_path)
    graph = nir.read(file)
    kinds = {name: type(node).__name__ for name, node in graph.nodes.items()}
    chain = {
        "input": "Input", "conv1": "Conv2d", "conv1_lif": "LIF", "conv1_pool_sum": "SumPool2d", "conv1_pool": "Threshold",
        "conv2": "Conv2d", "conv2_lif": "LIF", "conv2_pool_sum": "SumPool2d", "conv2_pool": "Threshold",
        "conv3": "Conv2d", "conv3_lif": "LIF", "flatten": "Flatten", "fc": "Affine", "output": "Output"}
    assert kinds == chain and sorted(graph.edges) == sorted(zip(list(chain), list(chain)[1:]))
    with safe_open(checkpoint / "packed.safetensors", "np") as packed:
        value = {name: packed.get_tensor(name) for name in packed.keys()}
        shapes = {name[:-6]: [int(n) for n in text.split()] for name, text in packed.metadata().items()
                  if name.endswith(".shape")}
    for name, shape in shapes.items():
        bits = np.unpackbits(value[name + ".signs"], count=np.prod(shape), bitorder="little").reshape(shape)
        value[name] = (2.0 * bits - 1) * value[name + ".scale"].reshape(-1, 1, 1, 1)
    for name in ("conv1", "conv2", "conv3"):
        gain = value[name + ".bn.weight"] / np.sqrt(value[name + ".bn.running_var"].astype(np.float64) + 1e-5)
        np.testing.assert_allclose(graph.nodes[name].weight, value[name + ".weight"] * gain.reshape(-1, 1, 1, 1), rtol=1e-6)
        np.testing.assert_allclose(graph.nodes[name].bias, value[name + ".bn.bias"] - value[name + ".bn.running_mean"] * gain,
                                   rtol=1e-6, atol=1e-7)
        neuron, dt = graph.nodes[name + "_lif"], graph.metadata["dt"]
        assert neuron.tau.shape == tuple(graph.nodes[name].output_type["output"])
        np.testing.assert_allclose(1 - dt / neuron.tau, 0.75, rtol=1e-6)
        np.testing.assert_allclose(dt / neuron.tau * neuron.r, 1, rtol=1e-6)
        assert (neuron.v_threshold == 0.5).all() and not neuron.v_leak.any() and not neuron.v_reset.any()
    np.testing.assert_array_equal(graph.nodes["fc"].weight, value["fc.weight"])
    np.testing.assert_array_equal(graph.nodes["fc"].bias, value["fc.bias"])
    metadata = graph.metadata
    assert (metadata["network"], metadata["kind"], metadata["time_steps"], metadata["classes"]) == ("convnet", "bsnn", 3, 10)
    assert json.loads(metadata["spec"]) == json.loads((checkpoint / "manifest.json").read_text())["spec"]
    # Equal models give equal files; only the title of what it was made from differs.
    assert exported(checkpoint, tmp_path).read_bytes() == file.read_bytes()
    from_packed = nir.read(exported(checkpoint / "packed.safetensors", tmp_path))
    for name, node in graph.nodes.items():
        for field in ("weight", "bias"):
            np.testing.assert_array_equal(getattr(from_packed.nodes[name], field, None), getattr(node, field, None))


@pytest.mark.parametrize("name,kinds", [
    ("bireal_resnet8", {"Conv2d": 9, "LIF": 6}), ("resnet20", {"Conv2d": 22, "LIF": 19}),
    ("sew_resnet18", {"Conv2d": 20, "LIF": 20}), ("vgg11", {"Threshold": 3, "LIF": 8}), ("vggsnn", {"AvgPool2d": 4})])
def test_every_family_is_said(tmp_path, name, kinds):
    """The package checks every node's and edge's shapes as it reads; no training is needed for that."""
    spec = job(name)
    spec["data"] = {"name": "generated", "train_limit": 2, "test_limit": 1}
    spec["training"]["batch_size"] = 2
    spec["network"]["time_steps"] = 1
    code, errors = run(tmp_path, spec=spec)
    assert code == 0, errors
    graph = nir.read(exported(newest(tmp_path), tmp_path))
    counted = [type(node).__name__ for node in graph.nodes.values()]
    assert {kind: counted.count(kind) for kind in kinds} == kinds
    assert graph.output_type["output"].tolist() == [10]


def test_what_nir_cannot_say_is_refused_by_name(data, tmp_path):
    def fault(folder, spec):
        checkpoint = trained(tmp_path / folder, spec, data)
        return call(f"{BIN}/bsnn-train", "--export", "nir", "--model", checkpoint, "--out", tmp_path / "model.nir", code=2)

    agmm = fault("agmm", job("convnet", kind="bsnn_agmm"))
    assert "network.kind" in agmm and "bsnn, snn: the gate multiplies" in agmm
    assert "neuron.reset" in fault("soft", job("convnet", neuron={"reset": "soft"}))
    assert not (tmp_path / "model.nir").exists()
