/// The packed form of a job spec: what the store keeps, and what equal specs share in memory.
///
/// One byte of version, then as tagged fields (base/tagged_fields.h), in the order of their
/// numbers, those that differ from the defaults of that version. kFieldNumbers in packed_spec.cc
/// has the numbers. Frozen: numbers, the values of choices, the defaults of a version
/// (tests/libs/spec/packed_spec_test.cc). Equal specs have equal bytes.
#pragma once

#include <absl/status/statusor.h>

#include <memory>
#include <string>
#include <string_view>

#include "spec/job_spec.h"

namespace bsnn::spec {

inline constexpr int kPackedVersion = 1;

std::string Pack(const JobSpec& spec);

/// Reads exactly what Pack writes. InvalidArgument says what is wrong: a newer version, a field
/// number or a choice that this program does not know, bytes that Pack does not make. Ranges are
/// not checked: a spec was checked when it was accepted.
absl::StatusOr<JobSpec> Unpack(std::string_view bytes);

/// The number of a field of the table ("network.time_steps"), 0 where it has none.
uint32_t FieldNumberOf(std::string_view path);

}  // namespace bsnn::spec
