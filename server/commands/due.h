/// What time makes due.
#pragma once

#include "server/commands/transaction.h"

namespace bsnn::commands {

/// Sets the timers and sightings of facts that were restored from a store: every worker gets a
/// fresh lease to call in, every live attempt a fresh limit. Call once, at the start.
void BeginTimers(Transaction& tx);

/// Does what `key`, whose time has come, stands for.
void HandleTimer(Transaction& tx, const TimerKey& key);

}  // namespace bsnn::commands
