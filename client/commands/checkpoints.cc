#include <fmt/format.h>

#include <cstdio>

#include "artifact/checkpoint_folder.h"
#include "client/commands/command.h"

namespace bsnn::client {
namespace {

int List(const Context& context, const std::string& job) {
  const auto checkpoints = context.MakeClient().ListCheckpoints(job);
  if (!checkpoints.ok())
    return Fail(context, "cannot list checkpoints of " + job, checkpoints.status());
  if (context.format == Format::kName) {
    for (const v1::Checkpoint& checkpoint : *checkpoints) fmt::print("{}\n", checkpoint.name());
  } else if (context.format == Format::kTable) {
    std::vector<std::vector<std::string>> rows;
    for (const v1::Checkpoint& checkpoint : *checkpoints) {
      rows.push_back({checkpoint.name(), std::to_string(checkpoint.step()),
                      std::to_string(checkpoint.epoch()), PrintRatio(checkpoint.accuracy_ratio()),
                      PrintBytes(checkpoint.size_bytes()), checkpoint.pinned() ? "yes" : "",
                      PrintAge(checkpoint.create_time(), context.clock->Now()),
                      checkpoint.digest().substr(0, 12)});
    }
    fmt::print("{}", PrintTable({"CHECKPOINT", ">STEP", ">EPOCH", ">ACCURACY", ">SIZE", "PINNED",
                                 ">AGE", "DIGEST"},
                                rows));
  } else {
    v1::ListCheckpointsResponse reply;
    for (const v1::Checkpoint& checkpoint : *checkpoints) *reply.add_checkpoints() = checkpoint;
    fmt::print("{}", PrintMessage(reply, context.format));
  }
  return kOk;
}

int Download(const Context& context, const std::string& name, const std::string& folder) {
  int last_percent = -1;
  const absl::Status status = context.MakeClient().DownloadCheckpoint(
      name, folder, [&](const sdk::DownloadProgress& progress) {
        const double ratio = progress.bytes_total > 0
                                 ? static_cast<double>(progress.bytes_done) /
                                       static_cast<double>(progress.bytes_total)
                                 : 1;
        const int percent = static_cast<int>(100 * ratio);
        if (context.terminal && percent != last_percent) {
          fmt::print(stderr, "\r{}  {}", PrintBar(ratio, 40), PrintBytes(progress.bytes_done));
        }
        last_percent = percent;
        return !context.interrupted();
      });
  if (context.terminal && last_percent >= 0) fmt::print(stderr, "\n");
  if (absl::IsUnavailable(status) || absl::IsCancelled(status)) {
    fmt::print(stderr,
               "bsnnctl: what has arrived is kept in {}.part; the same command goes on there\n",
               folder);
  }
  if (!status.ok()) return Fail(context, "cannot download " + name, status);
  if (context.format == Format::kTable) fmt::print("downloaded and verified: {}\n", folder);
  return kOk;
}

int Verify(const Context& context, const std::string& folder) {
  const auto verified = artifact::VerifyCheckpointFolder(folder);
  if (!verified.ok()) {
    Fail(context, folder + " does not verify", verified.status());
    return absl::IsNotFound(verified.status()) ? kNotFound : kFailed;
  }
  if (context.format == Format::kTable) {
    fmt::print("{} verifies: step {}, epoch {}, every byte as in the manifest\ndigest {}\n", folder,
               verified->manifest.step, verified->manifest.epoch, verified->digest);
  } else {
    fmt::print("{}\n", verified->digest);
  }
  return kOk;
}

int Pin(const Context& context, const std::string& name, bool pinned) {
  const auto checkpoint = context.MakeClient().PinCheckpoint(name, pinned);
  if (!checkpoint.ok()) return Fail(context, "cannot change " + name, checkpoint.status());
  if (context.format == Format::kTable) {
    fmt::print("{} is {}\n", name,
               pinned ? "pinned: retention never removes it" : "no longer pinned");
  } else {
    fmt::print("{}", PrintMessage(*checkpoint, context.format));
  }
  return kOk;
}

int Delete(const Context& context, const std::string& name) {
  const absl::Status status = context.MakeClient().DeleteCheckpoint(name);
  if (!status.ok()) return Fail(context, "cannot delete " + name, status);
  if (context.format == Format::kTable) fmt::print("deleted {}\n", name);
  return kOk;
}

}  // namespace

void AddCheckpoints(CLI::App& app, Context& context, Action& action) {
  CLI::App* group =
      app.add_subcommand("checkpoints", "List, download, verify, pin, delete checkpoints");
  group->require_subcommand(1);
  group->footer(
      "Examples:\n"
      "  bsnnctl checkpoints list mnist-7k3q\n"
      "  bsnnctl checkpoints download jobs/mnist-7k3q/checkpoints/a1-step-00002814 ./checkpoint\n"
      "  bsnnctl checkpoints verify ./checkpoint");
  auto name = std::make_shared<std::string>();
  auto folder = std::make_shared<std::string>();
  const auto add = [&](const char* word, const char* what, const char* argument,
                       const char* meaning) {
    CLI::App* command = group->add_subcommand(word, what);
    command->add_option(argument, *name, meaning)->required();
    return command;
  };
  const char* const full_name = "jobs/JOB/checkpoints/CHECKPOINT";
  add("list", "Newest first", "job", "Job id")->callback([&context, &action, name] {
    action = [&context, name] { return List(context, JobNameOf(*name)); };
  });
  CLI::App* download =
      add("download", "Fetch and verify; a cut download goes on", "checkpoint", full_name);
  download->add_option("folder", *folder, "Must not exist")->required();
  download->callback([&context, &action, name, folder] {
    action = [&context, name, folder] { return Download(context, *name, *folder); };
  });
  add("verify", "Check every byte of a folder", "folder", "Checkpoint folder")
      ->callback([&context, &action, name] {
        action = [&context, name] { return Verify(context, *name); };
      });
  for (const bool pinned : {true, false}) {
    add(pinned ? "pin" : "unpin", pinned ? "Keep for ever" : "Leave to retention", "checkpoint",
        full_name)
        ->callback([&context, &action, name, pinned] {
          action = [&context, name, pinned] { return Pin(context, *name, pinned); };
        });
  }
  add("delete", "Remove", "checkpoint", full_name)->callback([&context, &action, name] {
    action = [&context, name] { return Delete(context, *name); };
  });
}

}  // namespace bsnn::client
