// workers, version, completion.
#include <fmt/format.h>

#include <cstdio>

#include "client/commands/command.h"

namespace bsnn::client {
namespace {

int ListWorkers(const Context& context) {
  const auto workers = context.MakeClient().ListWorkers();
  if (!workers.ok()) return Fail(context, "cannot list workers", workers.status());
  if (context.format == Format::kName) {
    for (const v1::Worker& worker : *workers) fmt::print("{}\n", Printable(worker.name()));
  } else if (context.format == Format::kTable) {
    std::vector<std::vector<std::string>> rows;
    for (const v1::Worker& worker : *workers) {
      std::string jobs;
      for (const std::string& job : worker.jobs())
        jobs += (jobs.empty() ? "" : " ") + job.substr(5);
      rows.push_back({worker.name().substr(8), PrintState(v1::Worker::State_Name(worker.state())),
                      fmt::format("{}/{}", worker.slots_used(), worker.slots_size()),
                      worker.slots_size() > 0 ? worker.slots(0).device() : "-", worker.hostname(),
                      worker.version(), PrintAge(worker.last_seen_time(), context.clock->Now()),
                      jobs});
    }
    fmt::print("{}", PrintTable({"WORKER", "STATE", ">SLOTS", "DEVICE", "HOST", "VERSION", ">SEEN",
                                 "JOBS"},
                                rows));
    for (const v1::Worker& worker : *workers) {
      if (worker.state_message().empty()) continue;
      fmt::print("{}: {}\n", Printable(worker.name().substr(8)), Printable(worker.state_message()));
    }
  } else {
    v1::ListWorkersResponse reply;
    for (const v1::Worker& worker : *workers) *reply.add_workers() = worker;
    fmt::print("{}", PrintMessage(reply, context.format));
  }
  return kOk;
}

int PrintVersions(const Context& context) {
  fmt::print("bsnnctl {}\n", BSNN_VERSION);
  std::fflush(stdout);
  const auto info = context.MakeClient().GetServerInfo();
  if (info.ok()) {
    fmt::print("coordinator {} at {}, up for {}\n", Printable(info->version()), context.coordinator,
               PrintAge(info->start_time(), context.clock->Now()));
  } else {
    fmt::print("coordinator unknown: no answer from {}\n", context.coordinator);
  }
  return kOk;
}

constexpr char kBash[] = R"(# bash completion of bsnnctl. Use: source <(bsnnctl completion bash)
_bsnnctl() {
  local word=${COMP_WORDS[COMP_CWORD]} command= index
  for ((index = 1; index < COMP_CWORD; ++index)); do
    case ${COMP_WORDS[index]} in
      -o|--output|--coordinator|--timeout) ((++index)) ;;
      -*) ;;
      *) command=${COMP_WORDS[index]}; break ;;
    esac
  done
  local words=
  case $command in
    '') words='@COMMANDS@' ;;
    show|watch|logs|metrics|cancel|delete)
      words=$(bsnnctl list -o name --limit 200 --timeout 1 2>/dev/null | sed 's,^jobs/,,') ;;
    checkpoints)
      if ((COMP_CWORD == index + 1)); then words='list download verify pin unpin delete'
      elif [[ ${COMP_WORDS[index + 1]} == list ]]; then
        words=$(bsnnctl list -o name --limit 200 --timeout 1 2>/dev/null | sed 's,^jobs/,,')
      fi ;;
    workers) words=list ;;
    completion) words='bash zsh' ;;
    submit)
      compopt -o default
      words='--set --name --epochs --data --kind --network --watch --validate-only' ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -F _bsnnctl bsnnctl
)";

}  // namespace

void AddWorkers(CLI::App& app, Context& context, Action& action) {
  CLI::App* group = app.add_subcommand("workers", "List the workers");
  group->require_subcommand(1);
  group->add_subcommand("list", "Who there is, and what runs where")->callback([&context, &action] {
    action = [&context] { return ListWorkers(context); };
  });
  group->footer("Example:\n  bsnnctl workers list");
}

void AddVersion(CLI::App& app, Context& context, Action& action) {
  app.add_subcommand("version", "Print the versions of bsnnctl and of the coordinator")
      ->callback([&context, &action] { action = [&context] { return PrintVersions(context); }; });
}

void AddCompletion(CLI::App& app, Context&, Action& action) {
  CLI::App* group = app.add_subcommand("completion", "Print a completion script");
  auto shell = std::make_shared<std::string>();
  group->add_option("shell", *shell, "bash or zsh")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh"}));
  group->footer(
      "Examples:\n  source <(bsnnctl completion bash)\n  source <(bsnnctl completion zsh)");
  CLI::App* const root = &app;
  group->callback([&action, shell, root] {
    action = [shell, root] {
      std::string commands;
      for (const CLI::App* command : root->get_subcommands({}))
        commands += command->get_name() + " ";
      std::string script = kBash;
      script.replace(script.find("@COMMANDS@"), 10, commands);
      if (*shell == "zsh") script = "autoload -U +X bashcompinit && bashcompinit\n" + script;
      fmt::print("{}", script);
      return int{kOk};
    };
  });
}

}  // namespace bsnn::client
