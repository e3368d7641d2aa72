/// The job spec between its message and its plain values.
#pragma once

#include <string_view>
#include <vector>

#include "base/fault.h"
#include "bsnn/v1/spec.pb.h"
#include "spec/job_spec.h"

namespace bsnn::wire {

/// Reads a spec; appends a fault, its path after `prefix` ("job.spec."), for each wrong field.
/// Fields that this build does not know are a fault of their section that names their numbers: what
/// a newer program asks for is refused, never dropped. Use the result only if `faults` got nothing
/// new.
spec::JobSpec FromProto(const v1::JobSpec& message, std::string_view prefix,
                        std::vector<base::FieldFault>& faults);

/// Sets every field, defaults too.
void Write(const spec::JobSpec& spec, v1::JobSpec& message);
v1::JobSpec ToProto(const spec::JobSpec& spec);

}  // namespace bsnn::wire
