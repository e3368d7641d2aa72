/// A trained network as a NIR file. docs/nir.md says what is written and what cannot be.
#pragma once

#include <absl/status/statusor.h>

#include <string>

#include "worker/trainer/model/network.h"

namespace bsnn::trainer {

/// The bytes of the file: the network as it is in evaluation, batch norm folded into its
/// convolutions. `spec` is the network's, `title` goes into the metadata. InvalidArgument
/// (base::InvalidFields) naming what NIR has no word for: the gate, soft reset, average pooling
/// that rounds up, max pooling of real numbers. Unimplemented in a build without HDF5.
absl::StatusOr<std::string> ExportNir(Network& network, const spec::JobSpec& spec,
                                      const std::string& title);

}  // namespace bsnn::trainer
