/// bsnn-train: trains one job from a spec file, or evaluates a checkpoint. It knows no service.
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/ops/cat.h>
#include <absl/strings/numbers.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <new>

#include "base/fault.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/logging.h"
#include "base/status.h"
#include "worker/trainer/checkpoint/stored_model.h"
#include "worker/trainer/data/dataset.h"
#include "worker/trainer/export/export_nir.h"
#include "worker/trainer/nn/cuda/ops.h"
#include "worker/trainer/nn/threads.h"
#include "worker/trainer/train/describe.h"
#include "worker/trainer/train/evaluate.h"
#include "worker/trainer/train/event_writer.h"
#include "worker/trainer/train/stop_flag.h"
#include "worker/trainer/train/trainer.h"

namespace bsnn::trainer {
namespace {

enum ExitCode {
  kSucceeded = 0,
  kInfrastructure = 1,
  kUserError = 2,
  kStopped = 3,
  kDataUnavailable = 4
};

struct Arguments {
  std::string spec, data = ".", out, device = "auto", evaluate, predictions, logits, export_format,
                    model, log_level = "info";
  std::string cuda = "fused";
  int threads = 0;
  int rank = 0, world_size = 1;
  std::string store;
  bool resume = false;
  bool describe = false, describe_spec = false;
};

/// Who is to blame. Data that is missing or damaged here may be whole on another machine; the user
/// is for what any machine would say of the specification, the arguments and the files named there.
spec::TrainerFailure FailureOf(const absl::Status& status) {
  if (base::ReasonOf(status).reason == kDataUnavailableReason) {
    return spec::TrainerFailure::kDataUnavailable;
  }
  if (absl::IsInvalidArgument(status) || absl::IsNotFound(status) ||
      absl::IsFailedPrecondition(status)) {
    return spec::TrainerFailure::kUserError;
  }
  return spec::TrainerFailure::kInfrastructure;
}

int Report(const absl::Status& status) {
  fmt::print(stderr, "bsnn-train: {}\n", std::string(status.message()));
  switch (FailureOf(status)) {
    case spec::TrainerFailure::kUserError:
      return kUserError;
    case spec::TrainerFailure::kDataUnavailable:
      return kDataUnavailable;
    case spec::TrainerFailure::kNone:
    case spec::TrainerFailure::kInfrastructure:
      return kInfrastructure;
  }
  return kInfrastructure;
}

absl::StatusOr<at::Device> ChooseDevice(const std::string& name, spec::Device wanted) {
  const bool cuda = at::hasCUDA();
  if (name == "auto") {
    if (wanted == spec::Device::kCuda && !cuda) {
      return base::InvalidFields({{"resources.device", "\"cuda\"",
                                   "cpu or any: this machine or build has no CUDA device"}});
    }
    return at::Device(cuda && wanted != spec::Device::kCpu ? at::kCUDA : at::kCPU);
  }
  if (name == "cpu") return at::Device(at::kCPU);
  const std::string digits = name.starts_with("cuda:") ? name.substr(5) : "";
  if (digits.empty() || digits.size() > 2 ||
      digits.find_first_not_of("0123456789") != digits.npos) {
    return base::InvalidFields({{"--device", "'" + name + "'", "auto, cpu, cuda:N"}});
  }
  if (!cuda)
    return base::InvalidFields(
        {{"--device", name, "cpu: this machine or build has no CUDA device"}});
  return at::Device(at::kCUDA, static_cast<at::DeviceIndex>(std::stoi(digits)));
}

absl::StatusOr<Meeting> MeetingOf(const Arguments& arguments) {
  if (arguments.rank >= arguments.world_size) {
    return base::InvalidFields(
        {{"--rank", std::to_string(arguments.rank),
          fmt::format("0 to {}, below --world-size", arguments.world_size - 1)}});
  }
  Meeting meeting{.rank = arguments.rank, .size = arguments.world_size};
  if (meeting.size == 1) return meeting;
  const size_t colon = arguments.store.rfind(':');
  uint32_t port = 0;
  if (colon == std::string::npos || colon == 0 ||
      !absl::SimpleAtoi(arguments.store.substr(colon + 1), &port) || port == 0 || port > 65535) {
    return base::InvalidFields({{"--store", "'" + arguments.store + "'",
                                 "HOST:PORT of rank 0, with --world-size above 1"}});
  }
  meeting.host = arguments.store.substr(0, colon);
  meeting.port = static_cast<uint16_t>(port);
  return meeting;
}

absl::StatusOr<spec::Finished> RunTrainer(RunOptions options, const Meeting& meeting,
                                          EventWriter& events) {
  std::unique_ptr<Ranks> ranks;
  if (meeting.size > 1) {
    ASSIGN_OR_RETURN(ranks, MeetRanks(meeting));
  }
  options.ranks = ranks.get();
  ASSIGN_OR_RETURN(const auto trainer, Trainer::Make(options, events, base::RealClock()));
  return trainer->Run();
}

/// The one place where LibTorch's exceptions become a status.
template <class Call>
auto Guard(Call&& call) -> decltype(call()) {
  try {
    return call();
  } catch (const c10::Error& error) {
    return absl::InternalError(
        base::Shorten(error.what_without_backtrace(), base::kErrorTextBytesMax));
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("out of memory");
  }
}

/// Makes the output folder. A run from the start would mix its checkpoints with another's.
absl::Status PrepareOut(const Arguments& arguments) {
  const std::filesystem::path checkpoints = std::filesystem::path(arguments.out) / "checkpoints";
  RETURN_IF_ERROR(base::MakeFolder(checkpoints));
  RETURN_IF_ERROR(artifact::RemoveLeftovers(checkpoints));
  if (arguments.resume || artifact::ListCheckpointFolders(checkpoints).empty()) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(fmt::format(
      "{} holds checkpoints of an earlier run: go on with --resume, or take another --out",
      checkpoints.string()));
}

int Train(const Arguments& arguments) {
  const auto text = base::ReadFile(arguments.spec, base::kSpecBytesMax);
  if (!text.ok()) return Report(text.status());
  const auto spec = spec::ParseJobSpec(*text);
  if (!spec.ok()) return Report(spec.status());
  const auto device = ChooseDevice(arguments.device, spec->resources.device);
  if (!device.ok()) return Report(device.status());
  const int threads = arguments.threads > 0 ? arguments.threads : spec->resources.threads;
  if (threads > 0) at::set_num_threads(threads);
  const auto meeting = MeetingOf(arguments);
  if (!meeting.ok()) return Report(meeting.status());
  const bool first = meeting->rank == 0;
  if (first) {
    if (const absl::Status made = PrepareOut(arguments); !made.ok()) return Report(made);
  }
  auto events = first ? EventWriter::Open(std::filesystem::path(arguments.out) / "events.jsonl",
                                          arguments.resume, base::RealClock())
                      : EventWriter::Silent(base::RealClock());
  if (!events.ok()) return Report(events.status());

  const RunOptions options{*spec, arguments.data, arguments.out, arguments.resume, *device};
  const auto finished = Guard([&] { return RunTrainer(options, *meeting, *events); });
  if (finished.ok()) {
    events->Write(*finished);
    const bool stopped = finished->outcome == spec::Outcome::kStopped;
    if (first) {
      const double accuracy = finished->accuracy_ratio;
      fmt::print(stderr, "{} at step {}: {}, checkpoint digest {}{}\n",
                 stopped ? "stopped" : "finished", finished->step,
                 std::isnan(accuracy) ? "not tested yet"
                                      : fmt::format("test accuracy {:.2f} %", 100 * accuracy),
                 finished->checkpoint_digest, stopped ? "; --resume goes on from there" : "");
    }
    if (!events->status().ok()) return Report(events->status());
    return stopped ? kStopped : kSucceeded;
  }
  const std::string message(finished.status().message());
  events->Log(spec::Severity::kError, message);
  events->Write(spec::Finished{spec::Outcome::kFailed, 0, std::nan(""), "",
                               FailureOf(finished.status()), message});
  return Report(finished.status());
}

absl::Status WritePredictions(const std::string& path, const Dataset& data,
                              const Evaluation& evaluation) {
  std::string text = "index,label,prediction\n";
  for (size_t i = 0; i < evaluation.predictions.size(); ++i) {
    text += fmt::format("{},{},{}\n", i, data.labels()[i], evaluation.predictions[i]);
  }
  return base::WriteFileDurably(path, text);
}

absl::Status WriteLogits(const std::string& path, const Evaluation& evaluation) {
  std::string bytes;
  RETURN_IF_ERROR(
      WriteTensors({{"logits", at::cat(evaluation.logits)}}, {}, [&](std::string_view more) {
        bytes += more;
        return absl::OkStatus();
      }));
  return base::WriteFileDurably(path, bytes);
}

absl::Status EvaluateModel(const Arguments& arguments) {
  ASSIGN_OR_RETURN(const StoredModel model, StoredModel::Open(arguments.evaluate));
  const spec::JobSpec& spec = model.spec();
  ASSIGN_OR_RETURN(const at::Device device, ChooseDevice(arguments.device, spec::Device::kAny));
  if (arguments.threads > 0) at::set_num_threads(arguments.threads);
  ASSIGN_OR_RETURN(const auto opened, OpenDataset(spec, arguments.data, Split::kTest));
  const Dataset& data = *opened;
  ASSIGN_OR_RETURN(const auto network, Network::Make(spec, data.shape()));
  RETURN_IF_ERROR(model.Restore(*network));
  network->To(device);
  ASSIGN_OR_RETURN(const Evaluation evaluation,
                   Evaluate(*network, device, data, 256, spec.resources.loader_threads,
                            StopRequested, !arguments.logits.empty()));
  fmt::print("{}\n", model.Title());
  fmt::print("test accuracy {:.2f} % ({} of {} pictures{}), loss {:.4f}\n",
             100 * evaluation.accuracy_ratio(), evaluation.correct, evaluation.pictures,
             SplitText(spec.data), evaluation.loss);
  for (int64_t label = 0; label < data.shape().classes; ++label) {
    int64_t pictures = 0, correct = 0;
    for (size_t i = 0; i < data.labels().size(); ++i) {
      pictures += data.labels()[i] == label;
      correct += data.labels()[i] == label && evaluation.predictions[i] == label;
    }
    if (pictures > 0)
      fmt::print("  class {}: {:.2f} % of {}\n", label,
                 100.0 * static_cast<double>(correct) / static_cast<double>(pictures), pictures);
  }
  if (!arguments.logits.empty()) RETURN_IF_ERROR(WriteLogits(arguments.logits, evaluation));
  if (arguments.predictions.empty()) return absl::OkStatus();
  return WritePredictions(arguments.predictions, data, evaluation);
}

absl::StatusOr<std::string> ExportedNir(const StoredModel& model, const InputShape& shape) {
  ASSIGN_OR_RETURN(const auto network, Network::Make(model.spec(), shape));
  RETURN_IF_ERROR(model.Restore(*network));
  return ExportNir(*network, model.spec(), model.Title());
}

absl::Status Export(const Arguments& arguments) {
  ASSIGN_OR_RETURN(const StoredModel model, StoredModel::Open(arguments.model));
  ASSIGN_OR_RETURN(const InputShape shape, ShapeOf(model.spec(), arguments.data));
  ASSIGN_OR_RETURN(const std::string bytes, arguments.export_format == "nir"
                                                ? ExportedNir(model, shape)
                                                : PackedBytes(model, shape));
  RETURN_IF_ERROR(base::WriteFileDurably(arguments.out, bytes));
  fmt::print("wrote {}: {} bytes\n", arguments.out, bytes.size());
  return absl::OkStatus();
}

absl::Status Describe(const Arguments& arguments) {
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile(arguments.spec, base::kSpecBytesMax));
  ASSIGN_OR_RETURN(const spec::JobSpec spec, spec::ParseJobSpec(text));
  ASSIGN_OR_RETURN(const InputShape shape, ShapeOf(spec, arguments.data));
  ASSIGN_OR_RETURN(const auto network, Network::Make(spec, shape));
  fmt::print("{}", DescribeNetwork(spec, shape, *network));
  return absl::OkStatus();
}

/// Describes, evaluates or exports. A damaged file is then the model that the arguments name.
int RunOnce(absl::Status (*act)(const Arguments&), const Arguments& arguments) {
  const absl::Status status = Guard([&] { return act(arguments); });
  if (status.ok()) return kSucceeded;
  const int code = Report(status);
  return absl::IsDataLoss(status) && code == kInfrastructure ? int{kUserError} : code;
}

void DescribeSpec() {
  fmt::print("| field | allowed | default | meaning |\n|---|---|---|---|\n");
  for (const auto& row : spec::DescribeFields()) {
    fmt::print("| `{}` | {} | `{}` | {} |\n", row.path, row.allowed, row.default_value,
               row.meaning);
  }
}

}  // namespace

int Main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app{
      "bsnn-train: trains a binary spiking network from a spec file, or evaluates a checkpoint"};
  auto* spec = app.add_option("--spec", arguments.spec, "Job spec (JSON, docs/spec.md)");
  app.add_option("--data", arguments.data, "Folder with the data set's files")
      ->capture_default_str();
  app.add_option("--out", arguments.out,
                 "Folder for events.jsonl and checkpoints/; with --export, the file");
  app.add_flag("--resume", arguments.resume,
               "Go on from the newest checkpoint in --out that verifies");
  app.add_option("--device", arguments.device, "auto, cpu, cuda:N")->capture_default_str();
  app.add_option("--cuda", arguments.cuda,
                 "On CUDA: our fused kernels, or plain: separate LibTorch operations, to compare")
      ->check(CLI::IsMember({"fused", "plain"}))
      ->capture_default_str();
  app.add_option("--threads", arguments.threads,
                 "CPU threads; 0 is the spec's, or LibTorch's choice")
      ->check(CLI::Range(0, 1024));
  app.add_option("--rank", arguments.rank, "This process's number among the ranks of one run")
      ->check(CLI::Range(0, 1023))
      ->capture_default_str();
  app.add_option("--world-size", arguments.world_size,
                 "Processes that train together, each on its share of every batch")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--store", arguments.store, "HOST:PORT where rank 0 listens and the ranks meet");
  auto* evaluate =
      app.add_option("--evaluate", arguments.evaluate,
                     "Classify the test set with this checkpoint folder or packed model");
  app.add_option("--predictions", arguments.predictions,
                 "With --evaluate: CSV of index,label,prediction")
      ->needs(evaluate);
  app.add_option("--logits", arguments.logits,
                 "With --evaluate: safetensors file of each picture's logits, mean over time")
      ->needs(evaluate);
  auto* model = app.add_option("--model", arguments.model,
                               "With --export: checkpoint folder or packed model");
  app.add_option("--export", arguments.export_format,
                 "Write --model into the file --out: packed (one bit a binary weight), nir")
      ->check(CLI::IsMember({"packed", "nir"}))
      ->needs(model)
      ->excludes(spec)
      ->excludes(evaluate);
  app.set_version_flag("--version", "bsnn-train " BSNN_VERSION);
  app.add_flag("--describe", arguments.describe,
               "Print the layers of --spec's network: shapes, parameters, sizes, operations")
      ->needs(spec);
  app.add_flag("--describe-spec", arguments.describe_spec, "Print every field of a spec");
  app.add_option("--log-level", arguments.log_level, "debug, info, warning, error")
      ->capture_default_str();
  app.footer(
      "Exit codes: 0 done; 1 machine or disk; 2 spec, arguments or model; 3 stopped by SIGTERM or "
      "Ctrl-C\n"
      "after a checkpoint; 4 the data set is missing or damaged here.\n"
      "Examples:\n"
      "  bsnn-train --spec job.json --data ~/mnist --out run1\n"
      "  bsnn-train --spec job.json --data ~/mnist --out run1 --resume\n"
      "  bsnn-train --spec job.json --data ~/mnist --out run1 --world-size 2 --store "
      "127.0.0.1:29500 --rank 0\n"
      "  bsnn-train --spec job.json --data ~/mnist --world-size 2 --store 127.0.0.1:29500 --rank "
      "1\n"
      "  bsnn-train --spec job.json --describe\n"
      "  bsnn-train --evaluate run1/checkpoints/step-00002814 --data ~/mnist\n"
      "  bsnn-train --export packed --model run1/checkpoints/step-00002814 --out "
      "model.safetensors\n"
      "  bsnn-train --export nir --model run1/checkpoints/step-00002814 --out model.nir");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kSucceeded : kUserError;
  }
  if (const absl::Status logging = base::StartLogging("bsnn-train", arguments.log_level);
      !logging.ok()) {
    return Report(logging);
  }
  InstallStopFlag();
  if (arguments.describe_spec) {
    DescribeSpec();
    return kSucceeded;
  }
  if (arguments.describe) return RunOnce(Describe, arguments);
  cuda::SetUp(arguments.cuda == "fused");
  if (!arguments.evaluate.empty()) return RunOnce(EvaluateModel, arguments);
  const bool needs_out = arguments.rank == 0 || !arguments.export_format.empty();
  if ((arguments.out.empty() && needs_out) ||
      (arguments.spec.empty() && arguments.export_format.empty())) {
    fmt::print(
        stderr,
        "bsnn-train: --out is needed, with --spec or --export (or --evaluate); see --help\n");
    return kUserError;
  }
  if (!arguments.export_format.empty()) return RunOnce(Export, arguments);
  return Train(arguments);
}

}  // namespace bsnn::trainer

int main(int argc, char** argv) {
  bsnn::trainer::RestartWithTunedRuntime(argv);
  return bsnn::trainer::Main(argc, argv);
}
