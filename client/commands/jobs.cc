// list, show, cancel, delete: the commands that ask one question about jobs.
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>

#include "client/commands/command.h"

namespace bsnn::client {
namespace {

std::string ProgressText(const v1::Job& job) {
  if (job.state() == v1::Job::QUEUED && job.queue_position() > 0) {
    return fmt::format("queue position {}", job.queue_position());
  }
  if (!job.has_progress() || job.progress().steps_total() == 0) return "-";
  return fmt::format("{:.0f} %", 100 * job.progress().progress_ratio());
}

std::string AccuracyText(const v1::Job& job) {
  return job.has_result() ? PrintRatio(job.result().accuracy_ratio()) : "-";
}

constexpr int kEndedJobsShown = 50;

/// All active jobs and the newest that have ended, newest first. Of `options.states` where it names
/// some.
absl::StatusOr<std::vector<v1::Job>> ListRecentJobs(sdk::Client& client,
                                                    const sdk::ListJobsOptions& options) {
  std::vector<v1::Job> jobs;
  for (const bool ended : {false, true}) {
    sdk::ListJobsOptions part = options;
    part.states.clear();
    part.count_max = ended ? kEndedJobsShown : 0;
    for (int i = v1::Job::QUEUED; i <= v1::Job::EXPIRED; ++i) {
      const auto state = static_cast<v1::Job::State>(i);
      const bool wanted = options.states.empty() ||
                          std::count(options.states.begin(), options.states.end(), state) > 0;
      if (wanted && sdk::HasEnded(state) == ended) part.states.push_back(state);
    }
    if (part.states.empty()) continue;
    auto found = client.ListJobs(part);
    if (!found.ok()) return found.status();
    if (static_cast<int>(found->size()) == part.count_max) {
      fmt::print(stderr, "bsnnctl: of the jobs that have ended, the newest {}; all: --limit 0\n",
                 kEndedJobsShown);
    }
    jobs.insert(jobs.end(), found->begin(), found->end());
  }
  const auto time_of = [](const v1::Job& job) {
    return std::pair(job.create_time().seconds(), job.create_time().nanos());
  };
  std::stable_sort(jobs.begin(), jobs.end(), [&](const v1::Job& left, const v1::Job& right) {
    return time_of(left) > time_of(right);
  });
  // A job that ended between the two calls is in both.
  std::set<std::string> names;
  std::erase_if(jobs, [&](const v1::Job& job) { return !names.insert(job.name()).second; });
  return jobs;
}

int List(const Context& context, sdk::ListJobsOptions options, bool recent) {
  options.basic = context.format == Format::kTable || context.format == Format::kName;
  sdk::Client client = context.MakeClient();
  const auto jobs = recent ? ListRecentJobs(client, options) : client.ListJobs(options);
  if (!jobs.ok()) return Fail(context, "cannot list jobs", jobs.status());
  if (context.format == Format::kName) {
    for (const v1::Job& job : *jobs) fmt::print("{}\n", Printable(job.name()));
  } else if (context.format == Format::kTable) {
    std::vector<std::vector<std::string>> rows;
    for (const v1::Job& job : *jobs) {
      rows.push_back({job.name().substr(5), job.display_name(),
                      PrintState(v1::Job::State_Name(job.state())), ProgressText(job),
                      AccuracyText(job), std::to_string(job.restart_count()),
                      PrintAge(job.create_time(), context.clock->Now())});
    }
    fmt::print(
        "{}",
        PrintTable({"JOB", "NAME", "STATE", ">PROGRESS", ">ACCURACY", ">RESTARTS", ">AGE"}, rows));
  } else {
    v1::ListJobsResponse reply;
    for (const v1::Job& job : *jobs) *reply.add_jobs() = job;
    fmt::print("{}", PrintMessage(reply, context.format));
  }
  return kOk;
}

void PrintJob(const Context& context, const v1::Job& job) {
  const auto row = [](const char* name, const std::string& value) {
    if (!value.empty()) fmt::print("{:<14}{}\n", name, PrintableText(value));
  };
  row("job", job.name());
  row("name", job.display_name());
  row("state",
      fmt::format("{}: {}", PrintState(v1::Job::State_Name(job.state())), job.state_message()));
  row("progress",
      job.has_progress() && job.progress().steps_total() > 0
          ? fmt::format("step {} of {}, epoch {} of {}, {:.0f} images/s, {} left",
                        job.progress().step(), job.progress().steps_total(), job.progress().epoch(),
                        job.progress().epochs_total(), job.progress().images_per_second(),
                        PrintDuration(job.progress().eta_seconds()))
          : "");
  row("network", fmt::format("{} {}, T={}", job.spec().network().name(),
                             job.spec().network().kind(), job.spec().network().time_steps()));
  row("data", job.spec().data().name());
  row("created", PrintAge(job.create_time(), context.clock->Now()) + " ago");
  if (job.has_result()) {
    row("accuracy", PrintRatio(job.result().accuracy_ratio()));
    row("checkpoint", job.result().checkpoint());
    row("digest", job.result().checkpoint_digest());
  }
  if (job.has_failure()) {
    row("failure",
        fmt::format("{}: {}", PrintState(v1::Job::FailureClass_Name(job.failure().failure_class())),
                    job.failure().message()));
  }
  for (const auto& [key, value] : job.labels()) row("label", key + "=" + value);
  for (const auto& attempt : job.attempts()) {
    row("attempt", fmt::format("{} on {} from step {}{}{}", attempt.epoch(), attempt.worker(),
                               attempt.resumed_from_step(), attempt.message().empty() ? "" : ": ",
                               attempt.message()));
  }
}

int PrintOne(const Context& context, const v1::Job& job) {
  if (context.format == Format::kName) {
    fmt::print("{}\n", Printable(job.name()));
  } else if (context.format == Format::kTable) {
    PrintJob(context, job);
  } else {
    fmt::print("{}", PrintMessage(job, context.format));
  }
  return kOk;
}

int Cancel(const Context& context, const std::string& name, bool wait) {
  sdk::Client client = context.MakeClient();
  const auto job = client.CancelJob(name);
  if (!job.ok()) return Fail(context, "cannot cancel " + name, job.status());
  v1::Job last = *job;
  if (wait && !sdk::HasEnded(last.state())) {
    const absl::Status status = client.WatchJob(name, [&](const v1::Job& now) {
      last = now;
      return !context.interrupted();
    });
    if (context.interrupted()) return kInterrupted;
    if (!status.ok()) return Fail(context, "cannot watch " + name, status);
  }
  if (context.format != Format::kTable) return PrintOne(context, last);
  fmt::print("{} is {}: {}\n", name, PrintState(v1::Job::State_Name(last.state())),
             Printable(last.state_message()));
  return kOk;
}

}  // namespace

void AddList(CLI::App& app, Context& context, Action& action) {
  struct Options {
    std::vector<std::string> states;
    std::optional<int> limit;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("list", "List jobs, newest first");
  std::vector<std::string> words;
  for (int i = v1::Job::QUEUED; i <= v1::Job::EXPIRED; ++i) {
    words.push_back(PrintState(v1::Job::State_Name(static_cast<v1::Job::State>(i))));
  }
  command->add_option("--state", options->states, "Only jobs in this state; may be repeated")
      ->allow_extra_args(false)
      ->check(CLI::IsMember(words));
  command
      ->add_option(
          "--limit", options->limit,
          "At most this many; 0 is all. Without it: all active jobs, and the newest 50 that have "
          "ended")
      ->check(CLI::Range(0, 1'000'000));
  command->footer(
      "Examples:\n  bsnnctl list --state running --state queued\n  bsnnctl list -o json");
  command->callback([&context, &action, options] {
    action = [&context, options] {
      sdk::ListJobsOptions list{.states = {}, .count_max = options->limit.value_or(0)};
      for (std::string word : options->states) {
        for (char& c : word) c = static_cast<char>(c - 32);
        v1::Job::State state = v1::Job::STATE_UNSPECIFIED;
        v1::Job::State_Parse(word, &state);
        list.states.push_back(state);
      }
      return List(context, std::move(list), !options->limit.has_value());
    };
  });
}

void AddShow(CLI::App& app, Context& context, Action& action) {
  auto name = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("show", "Show one job");
  command->add_option("job", *name, "Job id")->required();
  command->footer("Example:\n  bsnnctl show mnist-7k3q -o yaml");
  command->callback([&context, &action, name] {
    action = [&context, name] {
      const auto job = context.MakeClient().GetJob(JobNameOf(*name));
      if (!job.ok()) return Fail(context, "cannot show " + *name, job.status());
      return PrintOne(context, *job);
    };
  });
}

void AddCancel(CLI::App& app, Context& context, Action& action) {
  auto name = std::make_shared<std::string>();
  auto wait = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand("cancel", "End a job: it writes a checkpoint first");
  command->add_option("job", *name, "Job id")->required();
  command->add_flag("--wait", *wait, "Return when it has ended");
  command->footer("Example:\n  bsnnctl cancel mnist-7k3q --wait");
  command->callback([&context, &action, name, wait] {
    action = [&context, name, wait] { return Cancel(context, JobNameOf(*name), *wait); };
  });
}

void AddDelete(CLI::App& app, Context& context, Action& action) {
  auto name = std::make_shared<std::string>();
  CLI::App* command =
      app.add_subcommand("delete", "Remove a job that has ended, with its checkpoints");
  command->add_option("job", *name, "Job id")->required();
  command->footer("Example:\n  bsnnctl delete mnist-7k3q");
  command->callback([&context, &action, name] {
    action = [&context, name]() -> int {
      const absl::Status status = context.MakeClient().DeleteJob(JobNameOf(*name));
      if (!status.ok()) return Fail(context, "cannot delete " + *name, status);
      if (context.format == Format::kTable) fmt::print("deleted {}\n", JobNameOf(*name));
      return kOk;
    };
  });
}

}  // namespace bsnn::client
