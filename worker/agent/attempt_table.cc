#include "worker/agent/attempt_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

namespace bsnn::agent {

std::string AttemptKey::ToText() const { return fmt::format("{}.{}", job.value(), epoch); }

AttemptTable::AttemptTable(int slots) : slots_(slots) {}

std::vector<Command> AttemptTable::ApplyReply(const Orders& reply) {
  const std::vector<Order>& orders = reply.orders;
  std::vector<Command> commands;
  std::set<AttemptKey> named;
  for (const Order& order : orders) named.insert(order.key);
  std::set<AttemptKey> kept = named;
  kept.insert(reply.unreadable.begin(), reply.unreadable.end());
  // Ends come first: what starts may want their slots.
  for (auto& [key, attempt] : attempts_) {
    if (kept.contains(key) || attempt.forgotten || !reply.names_all) continue;
    attempt.forgotten = true;
    commands.push_back({Command::Kind::kForget, Order{.key = key}});
  }
  for (const Order& order : orders) {
    if (named.erase(order.key) == 1) ApplyOne(order, commands);
  }
  return commands;
}

void AttemptTable::ApplyOne(const Order& order, std::vector<Command>& commands) {
  const auto found = attempts_.find(order.key);
  if (found == attempts_.end()) return Start(order, commands);
  Attempt& attempt = found->second;
  if (order.action == Action::kStop && !attempt.stop_asked && !attempt.forgotten) {
    attempt.stop_asked = true;
    commands.push_back({Command::Kind::kStop, order});
  }
}

void AttemptTable::Start(const Order& order, std::vector<Command>& commands) {
  const bool stop = draining_ || order.action == Action::kStop;
  // The next reply will bring the spec, as this call's report did not name the attempt.
  if (order.action == Action::kRun && !order.has_spec) return;
  Order start = order;
  if (!stop && order.fault.empty()) {
    if (order.slot < 0 || order.slot >= slots_) {
      start.fault = fmt::format("slot is {} (allowed: 0 to {})", order.slot, slots_ - 1);
    } else if (SlotIsHeld(order.slot)) {
      return;
    }
  }
  attempts_[order.key] = Attempt{.report = {.key = order.key},
                                 .slot = stop || !start.fault.empty() ? -1 : order.slot,
                                 .stop_asked = stop};
  commands.push_back({Command::Kind::kStart, start});
  if (!stop) return;
  if (order.action != Action::kStop) start.grace = drain_grace_;
  commands.push_back({Command::Kind::kStop, std::move(start)});
}

bool AttemptTable::SlotIsHeld(int slot) const {
  return std::any_of(attempts_.begin(), attempts_.end(), [slot](const auto& entry) {
    return entry.second.slot == slot && entry.second.report.phase != Phase::kEnded;
  });
}

std::vector<Command> AttemptTable::Drain(absl::Duration grace) {
  std::vector<Command> commands;
  draining_ = true;
  drain_grace_ = grace;
  for (auto& [key, attempt] : attempts_) {
    if (attempt.stop_asked || attempt.forgotten) continue;
    attempt.stop_asked = true;
    commands.push_back({Command::Kind::kStop, Order{.key = key, .grace = grace}});
  }
  return commands;
}

void AttemptTable::SetState(const Report& report) {
  const auto found = attempts_.find(report.key);
  if (found != attempts_.end()) found->second.report = report;
}

void AttemptTable::Gone(const AttemptKey& key) { attempts_.erase(key); }

std::vector<Report> AttemptTable::Reports() const {
  std::vector<Report> reports;
  for (const auto& [key, attempt] : attempts_) {
    if (!attempt.forgotten) reports.push_back(attempt.report);
  }
  return reports;
}

}  // namespace bsnn::agent
