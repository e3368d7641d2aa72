/// Macros over absl::Status, which is the one way to say that something expected has failed.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <utility>

#define BSNN_CONCAT_INNER(a, b) a##b
#define BSNN_CONCAT(a, b) BSNN_CONCAT_INNER(a, b)

/// Returns from the enclosing function if `expression`, an absl::Status, is an error.
#define RETURN_IF_ERROR(expression)                                                     \
  do {                                                                                  \
    if (absl::Status bsnn_status = (expression); !bsnn_status.ok()) return bsnn_status; \
  } while (false)

/// `ASSIGN_OR_RETURN(auto x, F());` declares or assigns x, or returns F()'s error.
#define ASSIGN_OR_RETURN(target, expression) \
  BSNN_ASSIGN_OR_RETURN_INNER(BSNN_CONCAT(bsnn_status_or_, __LINE__), target, expression)
#define BSNN_ASSIGN_OR_RETURN_INNER(name, target, expression) \
  auto name = (expression);                                   \
  if (!name.ok()) return name.status();                       \
  target = std::move(name).value()
