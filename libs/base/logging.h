/// Logs to standard error, one line each: time, level, program, message as key=value pairs.
///
/// docs/operations.md says what belongs to which level. Thread-safe. The header includes neither
/// fmt nor spdlog, so that sources with LibTorch's headers can log; build messages with
/// fmt::format.
#pragma once

#include <absl/status/status.h>

#include <string_view>

namespace bsnn::base {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

/// Call once, first in main(). `level` is "debug", "info", "warning" or "error", else
/// InvalidArgument.
absl::Status StartLogging(std::string_view program, std::string_view level);

void Log(LogLevel level, std::string_view message);
inline void LogDebug(std::string_view message) { Log(LogLevel::kDebug, message); }
inline void LogInfo(std::string_view message) { Log(LogLevel::kInfo, message); }
inline void LogWarning(std::string_view message) { Log(LogLevel::kWarning, message); }
inline void LogError(std::string_view message) { Log(LogLevel::kError, message); }

}  // namespace bsnn::base
