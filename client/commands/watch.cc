#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <map>

#include "base/fault.h"
#include "client/commands/command.h"

namespace bsnn::client {
namespace {

size_t TerminalWidth() {
  constexpr size_t kWidthDefault = 80;
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kWidthDefault;
  return size.ws_col;
}

/// What is drawn: the job's newest state, and its curves by epoch.
class Watch {
 public:
  explicit Watch(const Context& context) : context_(context) {}

  void Take(const v1::Job& job) { job_ = job; }

  /// When an epoch has gone by, fetches what the curves lack.
  void FetchCurves(sdk::Client& client) {
    if (job_.progress().epoch() == fetched_epoch_ && !sdk::HasEnded(job_.state())) return;
    for (const char* metric : {"accuracy_ratio", "sign_flip_ratio"}) {
      Curve& curve = curves_[metric];
      const absl::Status status = client.StreamMetrics(
          job_.name(), {.metric = metric, .cursor = &curve.cursor}, [&](const auto& points) {
            for (const v1::MetricPoint& point : points) {
              if (point.split() == "test" || point.layer() == "all")
                curve.values[point.step()] = point.value();
            }
            return true;
          });
      if (!status.ok()) return;
    }
    fetched_epoch_ = job_.progress().epoch();
  }

  /// On a terminal redraws in place; else prints a line where something worth it has changed.
  void Draw() {
    if (!context_.terminal) return DrawLine();
    if (lines_drawn_ > 0) fmt::print("\033[{}A\033[J", lines_drawn_);
    const std::string text = Picture();
    fmt::print("{}", text);
    std::fflush(stdout);
    lines_drawn_ = static_cast<int>(std::count(text.begin(), text.end(), '\n'));
  }

  const v1::Job& job() const { return job_; }

 private:
  std::string CurveText(const std::string& title, const std::string& metric) const {
    const auto found = curves_.find(metric);
    if (found == curves_.end() || found->second.values.empty()) return "";
    std::vector<double> values;
    for (const auto& [step, value] : found->second.values) values.push_back(value);
    return fmt::format("  {:<15}{}  {}\n", title, PrintCurve(values, 40),
                       PrintRatio(values.back()));
  }

  std::string Picture() const {
    const auto& progress = job_.progress();
    // One line each, or the next drawing would not cover this one.
    std::string text = base::Shorten(fmt::format("{}  {}  {}", job_.name(),
                                                 PrintState(v1::Job::State_Name(job_.state())),
                                                 Printable(job_.state_message())),
                                     TerminalWidth() - 1) +
                       "\n";
    text += fmt::format("  {}  epoch {} of {}  step {} of {}\n",
                        PrintBar(progress.progress_ratio(), 40), progress.epoch(),
                        progress.epochs_total(), progress.step(), progress.steps_total());
    text += fmt::format("  {:.0f} images/s, {} left\n", progress.images_per_second(),
                        PrintDuration(progress.eta_seconds()));
    text += CurveText("test accuracy", "accuracy_ratio");
    text += CurveText("sign flips", "sign_flip_ratio");
    return text;
  }

  void DrawLine() {
    const auto& progress = job_.progress();
    const auto percent = static_cast<int>(10 * progress.progress_ratio()) * 10;
    const std::string key = fmt::format("{} {} {} {}", static_cast<int>(job_.state()), percent,
                                        progress.epoch(), job_.restart_count());
    if (key == last_line_) return;
    last_line_ = key;
    if (progress.steps_total() == 0) {  // its trainer has not reported yet
      fmt::print("{} {}: {}\n", job_.name(), PrintState(v1::Job::State_Name(job_.state())),
                 Printable(job_.state_message()));
      std::fflush(stdout);
      return;
    }
    fmt::print("{} {} {:3.0f} % epoch {}/{} step {}/{} {:.0f} images/s {} left{}{}\n", job_.name(),
               PrintState(v1::Job::State_Name(job_.state())), 100 * progress.progress_ratio(),
               progress.epoch(), progress.epochs_total(), progress.step(), progress.steps_total(),
               progress.images_per_second(), PrintDuration(progress.eta_seconds()),
               Newest(" test accuracy ", "accuracy_ratio"),
               Newest(" sign flips ", "sign_flip_ratio"));
    std::fflush(stdout);
  }

  std::string Newest(const char* title, const std::string& metric) const {
    const auto found = curves_.find(metric);
    if (found == curves_.end() || found->second.values.empty()) return "";
    return title + PrintRatio(found->second.values.rbegin()->second);
  }

  /// A metric's newest value at each step, and up to where its history has been read.
  struct Curve {
    std::map<int64_t, double> values;
    std::string cursor;
  };

  const Context& context_;
  v1::Job job_;
  std::map<std::string, Curve> curves_;
  int fetched_epoch_ = -1;
  int lines_drawn_ = 0;
  std::string last_line_;
};

int PrintEnd(const v1::Job& job) {
  switch (job.state()) {
    case v1::Job::SUCCEEDED:
      fmt::print("succeeded: test accuracy {} after {} steps\ncheckpoint {}\n",
                 PrintRatio(job.result().accuracy_ratio()), job.result().steps(),
                 Printable(job.result().checkpoint()));
      return kOk;
    case v1::Job::FAILED:
    case v1::Job::EXPIRED:
      fmt::print(stderr, "bsnnctl: {} {}: {}\n  see why with: bsnnctl logs {}\n", job.name(),
                 PrintState(v1::Job::State_Name(job.state())),
                 PrintableText(job.failure().message()), job.name());
      return kFailed;
    default:
      fmt::print(stderr, "bsnnctl: {} was cancelled\n", job.name());
      return kCancelled;
  }
}

}  // namespace

int WatchToEnd(const Context& context, sdk::Client& client, const std::string& job) {
  Watch watch(context);
  const absl::Status status = client.WatchJob(job, [&](const v1::Job& now) {
    watch.Take(now);
    watch.FetchCurves(client);
    watch.Draw();
    return !context.interrupted();
  });
  if (context.interrupted()) {
    fmt::print(stderr, "\nthe job goes on; watch it again with: bsnnctl watch {}\n", job);
    return kInterrupted;
  }
  if (!status.ok()) return Fail(context, "cannot watch " + job, status);
  return PrintEnd(watch.job());
}

void AddWatch(CLI::App& app, Context& context, Action& action) {
  auto name = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("watch", "Follow a job: progress, time left, curves");
  command->add_option("job", *name, "Job id")->required();
  command->footer(
      "Ends when the job ends; exit code 0 if it succeeded, 1 if it failed, 7 if it was cancelled, "
      "6 after Ctrl-C\n(the job goes on). Waits while the coordinator is restarted.\n"
      "Example:\n  bsnnctl watch mnist-7k3q");
  command->callback([&context, &action, name] {
    action = [&context, name] {
      sdk::Client client = context.MakeClient();
      return WatchToEnd(context, client, JobNameOf(*name));
    };
  });
}

}  // namespace bsnn::client
