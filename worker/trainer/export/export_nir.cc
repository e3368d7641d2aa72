#include "worker/trainer/export/export_nir.h"

#include <ATen/core/grad_mode.h>

#include "base/status.h"
#include "worker/trainer/model/nir_builder.h"

namespace bsnn::trainer {

absl::StatusOr<std::string> ExportNir(Network& network, const spec::JobSpec& spec,
                                      const std::string& title) {
  const at::NoGradGuard no_gradients;
  NirBuilder builder(spec.neuron);
  if (spec.network.kind == spec::NetworkKind::kBsnnAgmm) {
    builder.Refuse("network.kind", "bsnn_agmm",
                   "bsnn, snn: the gate multiplies a layer by a function of the layer's own values "
                   "at that time step, and NIR has no product of two signals");
  }
  network.Express(builder);
  ASSIGN_OR_RETURN(NirGraph graph, builder.Finish());
  graph.metadata = {{"dt", NirBuilder::kStepSeconds},
                    {"time_steps", int64_t{spec.network.time_steps}},
                    {"network", std::string(spec::ToWord(spec.network.name))},
                    {"kind", std::string(spec::ToWord(spec.network.kind))},
                    {"data", std::string(spec::ToWord(spec.data.name))},
                    {"classes", network.shape().classes},
                    {"source", title},
                    {"spec", spec::CanonicalText(spec)}};
  return ToNirFile(graph);
}

}  // namespace bsnn::trainer
