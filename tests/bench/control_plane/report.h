/// The table that control_plane_bench prints: one line a figure, with its goal.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "tests/bench/control_plane/load.h"

namespace bsnn::bench {

inline double Milliseconds(absl::Duration time) { return absl::ToDoubleMilliseconds(time); }

/// Prints "what | measured | goal | met" at once, so that a long run can be watched.
class Report {
 public:
  void PrintHead() const { Print("figure", "measured", "goal", "met"); }

  void AddAtLeast(std::string_view what, double value, double goal, std::string_view unit,
                  const std::string& note = "") {
    Add(what, value, unit, note, fmt::format(">= {:g} {}", goal, unit), value >= goal);
  }
  void AddAtMost(std::string_view what, double value, double goal, std::string_view unit,
                 const std::string& note = "") {
    Add(what, value, unit, note, fmt::format("<= {:g} {}", goal, unit), value <= goal);
  }
  /// A figure without a goal.
  void AddNote(std::string_view what, const std::string& value) const {
    Print(what, value, "", "");
  }

  /// What should not happen: counts as a goal missed.
  void AddFailure(std::string_view what, const std::string& error) {
    ++missed_;
    Print(what, error, "none", "NO");
  }

  int missed() const { return missed_; }

 private:
  void Add(std::string_view what, double value, std::string_view unit, const std::string& note,
           const std::string& goal, bool met) {
    if (!met) ++missed_;
    Print(what, fmt::format("{:.4g} {}{}{}", value, unit, note.empty() ? "" : "; ", note), goal,
          met ? "yes" : "NO");
  }
  static void Print(std::string_view what, std::string_view value, std::string_view goal,
                    std::string_view met) {
    fmt::print("{:<48} | {:<64} | {:<16} | {}\n", what, value, goal, met);
    std::fflush(stdout);
  }

  int missed_ = 0;
};

}  // namespace bsnn::bench
