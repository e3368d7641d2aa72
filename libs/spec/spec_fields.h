/// The one table of a job spec's fields: path, range, meaning. Private to libs/spec; field_table.h
/// is for others.
#pragma once

#include <array>
#include <string_view>

#include "spec/job_spec.h"

namespace bsnn::spec {

/// Words of an enum, in the order of its values. Specialised below for every choice.
template <class Enum>
inline constexpr std::array<std::string_view, 0> kWords{};
template <>
inline constexpr std::array kWords<NetworkName> = std::to_array<std::string_view>(
    {"convnet", "bireal_resnet8", "bireal_resnet18", "bireal_resnet19", "bireal_resnet34",
     "resnet18", "resnet19", "resnet20", "vgg11", "vggsnn", "sew_resnet18"});
template <>
inline constexpr std::array kWords<NetworkKind> = std::to_array<std::string_view>({"bsnn_agmm",
                                                                                   "bsnn", "snn"});
template <>
inline constexpr std::array kWords<Ends> = std::to_array<std::string_view>({"float", "int8"});
template <>
inline constexpr std::array kWords<Precision> = std::to_array<std::string_view>({"float32",
                                                                                 "bf16"});
template <>
inline constexpr std::array kWords<Products> = std::to_array<std::string_view>({"auto", "tables"});
template <>
inline constexpr std::array kWords<BatchNormOver> = std::to_array<std::string_view>({"rank",
                                                                                     "all_ranks"});
template <>
inline constexpr std::array kWords<Reset> = std::to_array<std::string_view>({"hard", "soft"});
template <>
inline constexpr std::array kWords<Surrogate> =
    std::to_array<std::string_view>({"triangle", "sigmoid", "arctangent", "rectangle"});
template <>
inline constexpr std::array kWords<Binarization> =
    std::to_array<std::string_view>({"sign", "mean_abs", "standardized"});
template <>
inline constexpr std::array kWords<AgmmReduce> =
    std::to_array<std::string_view>({"sample", "channel", "step", "spatial"});
template <>
inline constexpr std::array kWords<AlphaMode> =
    std::to_array<std::string_view>({"learn_t", "learn_tc", "fixed"});
template <>
inline constexpr std::array kWords<GateGradient> = std::to_array<std::string_view>({"full",
                                                                                    "detach"});
template <>
inline constexpr std::array kWords<GateInput> = std::to_array<std::string_view>({"signed", "abs"});
template <>
inline constexpr std::array kWords<GatePlace> =
    std::to_array<std::string_view>({"after_bn", "before_bn", "on_spikes"});
template <>
inline constexpr std::array kWords<LossName> = std::to_array<std::string_view>({"cross_entropy",
                                                                                "tet"});
template <>
inline constexpr std::array kWords<OptimizerName> =
    std::to_array<std::string_view>({"sgd", "adam", "adamw", "bop", "t_bso"});
template <>
inline constexpr std::array kWords<ScheduleName> =
    std::to_array<std::string_view>({"cosine", "constant", "step"});
template <>
inline constexpr std::array kWords<DataName> =
    std::to_array<std::string_view>({"mnist", "fashion_mnist", "generated", "cifar10", "cifar100",
                                     "image_folder", "n_mnist", "cifar10_dvs", "dvs_gesture"});
template <>
inline constexpr std::array kWords<FramesBy> = std::to_array<std::string_view>({"number", "time",
                                                                                "duration"});
template <>
inline constexpr std::array kWords<FrameValues> = std::to_array<std::string_view>({"counts",
                                                                                   "share_of_max"});
template <>
inline constexpr std::array kWords<DvsSplit> =
    std::to_array<std::string_view>({"first_90", "from_100", "first_70"});
template <>
inline constexpr std::array kWords<Device> = std::to_array<std::string_view>({"any", "cpu",
                                                                              "cuda"});

struct Range {
  double min;
  double max;
};

/// Calls visitor.Choice(path, field, meaning) for enums, visitor.Number(path, field, range,
/// meaning) for int32_t and double, visitor.Flag(path, field, meaning) for bool. `Spec` is JobSpec,
/// const or not.
template <class Visitor, class Spec>
void VisitFields(Visitor& v, Spec& s) {
  v.Choice("network.name", s.network.name, "the network");
  v.Choice("network.kind", s.network.kind,
           "binary weights with the AGMM gate, without it, or full-precision weights");
  v.Number("network.time_steps", s.network.time_steps, Range{1, 64}, "time steps T");
  v.Choice("network.ends", s.network.ends,
           "weights of first convolution and classifier: as they are, or rounded to 8 bits");

  v.Number("neuron.decay", s.neuron.decay, Range{0, 1},
           "share of the membrane potential kept from one time step to the next");
  v.Number("neuron.threshold", s.neuron.threshold, Range{0.001, 100}, "firing threshold");
  v.Choice("neuron.reset", s.neuron.reset, "to zero, or by subtraction of the threshold");
  v.Flag("neuron.detach_reset", s.neuron.detach_reset, "keep the reset out of the gradient");
  v.Choice("neuron.surrogate", s.neuron.surrogate, "surrogate gradient of the spike");
  v.Number("neuron.surrogate_width", s.neuron.surrogate_width, Range{0.01, 100},
           "half-width of triangle and rectangle, slope of the others");

  v.Choice("binarization.method", s.binarization.method, "how latent weights become -1/+1");
  v.Number("binarization.sharpness_start", s.binarization.sharpness_start, Range{0.001, 1000},
           "sharpness of the standardised backward rule at the first step");
  v.Number("binarization.sharpness_end", s.binarization.sharpness_end, Range{0.001, 1000},
           "the same at the last step, log-linear between");

  v.Choice("agmm.reduce", s.agmm.reduce, "axes of the mean E");
  v.Choice("agmm.alpha_mode", s.agmm.alpha_mode, "one alpha a time step, a channel too, or fixed");
  v.Number("agmm.alpha_init", s.agmm.alpha_init, Range{0, 100}, "first value of alpha");
  v.Choice("agmm.gradient", s.agmm.gradient, "whether the gate itself carries gradient");
  v.Choice("agmm.input", s.agmm.input, "E of X or of its absolute value");
  v.Choice("agmm.place", s.agmm.place, "where the gate stands");

  v.Choice("loss.name", s.loss.name, "of the mean over time, or each step's (TET)");
  v.Number("loss.tet_lambda", s.loss.tet_lambda, Range{0, 1}, "weight of TET's regulariser");
  v.Number("loss.tet_phi", s.loss.tet_phi, Range{-100, 100}, "target of TET's regulariser");

  v.Number("loss.label_smoothing", s.loss.label_smoothing, Range{0, 0.99},
           "share of the target spread evenly over the classes");
  v.Number("loss.firing_rate_lambda", s.loss.firing_rate_lambda, Range{0, 1000},
           "weight of the firing-rate term; 0 is none");
  v.Number("loss.firing_rate_target", s.loss.firing_rate_target, Range{0, 1},
           "firing rate that the term pulls layers to");

  v.Choice("optimizer.name", s.optimizer.name,
           "the optimiser; bop and t_bso flip binary weights and train the rest by SGD");
  v.Number("optimizer.learning_rate", s.optimizer.learning_rate, Range{1e-9, 100},
           "learning rate after warm-up");
  v.Number("optimizer.binary_rate_factor", s.optimizer.binary_rate_factor, Range{0, 1000},
           "what the learning rate of latent binary weights is multiplied by");
  v.Number("optimizer.momentum", s.optimizer.momentum, Range{0, 0.9999}, "SGD's momentum");
  v.Number("optimizer.weight_decay", s.optimizer.weight_decay, Range{0, 1},
           "on weights of convolutions and classifier only");
  v.Number("optimizer.beta1", s.optimizer.beta1, Range{0, 0.99999}, "Adam's decay of the mean");
  v.Number("optimizer.beta2", s.optimizer.beta2, Range{0, 0.99999}, "Adam's decay of the square");
  v.Number("optimizer.epsilon", s.optimizer.epsilon, Range{1e-16, 1}, "Adam's divisor floor");
  v.Number("optimizer.flip_threshold", s.optimizer.flip_threshold, Range{0, 1},
           "mean gradient (t_bso: in units of its root mean square) above which a weight flips");
  v.Number("optimizer.flip_rate", s.optimizer.flip_rate, Range{1e-9, 1},
           "share of the newest gradient in the mean that bop and t_bso keep");
  v.Number("optimizer.flip_square_rate", s.optimizer.flip_square_rate, Range{1e-9, 1},
           "share of the newest square in the mean square that t_bso keeps");
  v.Number("optimizer.gradient_clip", s.optimizer.gradient_clip, Range{0, 1e6},
           "largest norm of all gradients together; 0 is no limit");

  v.Choice("schedule.name", s.schedule.name, "of the learning rate over the run");
  v.Number("schedule.warmup_epochs", s.schedule.warmup_epochs, Range{0, 10000},
           "epochs of linear warm-up");
  v.Number("schedule.step_epochs", s.schedule.step_epochs, Range{1, 100000},
           "epochs between two falls of the step schedule");
  v.Number("schedule.step_factor", s.schedule.step_factor, Range{0, 1},
           "what each fall multiplies the learning rate by");

  v.Choice("data.name", s.data.name, "the data set");
  v.Number("data.train_limit", s.data.train_limit, Range{0, 1e8},
           "first n training pictures only; 0 is all");
  v.Number("data.test_limit", s.data.test_limit, Range{0, 1e8},
           "first n test pictures only; 0 is all");
  v.Number("data.picture_side", s.data.picture_side, Range{16, 1024},
           "image_folder: side of the pictures that the network sees, pixels");
  v.Choice("data.frames_by", s.data.frames_by,
           "event recordings: network.time_steps frames of as many events, of equal times, or of a "
           "fixed duration");
  v.Number("data.frame_duration_us", s.data.frame_duration_us, Range{1, 1e9},
           "microseconds of a frame, by duration");
  v.Choice("data.frame_values", s.data.frame_values,
           "event recordings: events of each pixel, or these over the frame's largest count");
  v.Number("data.frame_side", s.data.frame_side, Range{0, 512},
           "event recordings: pixels that frames are resized to; 0 is the camera's");
  v.Choice("data.split", s.data.split, "cifar10_dvs: which of the published splits");

  v.Flag("augmentation.resized_crop", s.augmentation.resized_crop,
         "image_folder: training pictures are a random box, resized; else the middle, as in tests");
  v.Number("augmentation.crop_padding", s.augmentation.crop_padding, Range{0, 64},
           "training pictures: random crop after this many zeros on each side; 0 is none");
  v.Flag("augmentation.flip", s.augmentation.flip,
         "training pictures: mirror images with probability 1/2");
  v.Flag("augmentation.auto_augment", s.augmentation.auto_augment,
         "training pictures in colour: AutoAugment's policy for CIFAR-10");
  v.Number("augmentation.cutout", s.augmentation.cutout, Range{0, 1024},
           "training pictures: side of a square of zeros at a random place; 0 is none");
  v.Number("augmentation.roll", s.augmentation.roll, Range{0, 256},
           "training pictures: shift in a circle by up to this along both axes; 0 is none");

  v.Number("training.epochs", s.training.epochs, Range{1, 100000}, "passes over the training set");
  v.Number("training.batch_size", s.training.batch_size, Range{1, 65536}, "pictures in a step");
  v.Number("training.batch_parts", s.training.batch_parts, Range{1, 4096},
           "parts that a step's pictures are run in, one after the other: less memory");
  v.Number("training.seed", s.training.seed, Range{0, 2147483647},
           "of initial weights, data order and augmentation");
  v.Number("training.report_every_steps", s.training.report_every_steps, Range{1, 1000000},
           "steps between two progress reports");
  v.Choice("training.precision", s.training.precision,
           "of products: float32, or gradients rounded to bf16 first (cuda: docs/cuda.md)");
  v.Choice("training.products", s.training.products,
           "on a CPU, of gradients with spikes and binary weights: by its matrix unit where it has "
           "one that serves, or always by tables, with the same bits on every processor");
  v.Choice("training.batch_norm_over", s.training.batch_norm_over,
           "whose pictures batch norm takes its statistics over: each rank's own, or all ranks'");

  v.Number("checkpoint.every_epochs", s.checkpoint.every_epochs, Range{1, 100000},
           "epochs between checkpoints; the last epoch always has one");
  v.Number("checkpoint.every_steps", s.checkpoint.every_steps, Range{0, 1e8},
           "steps between checkpoints inside an epoch; 0 is none");
  v.Number("checkpoint.keep_latest", s.checkpoint.keep_latest, Range{1, 1000},
           "newest checkpoints kept");
  v.Number("checkpoint.keep_best", s.checkpoint.keep_best, Range{0, 1000},
           "most accurate checkpoints kept besides");

  v.Number("resources.slots", s.resources.slots, Range{1, 1}, "slots the job needs at once");
  v.Choice("resources.device", s.resources.device, "kind of slot");
  v.Number("resources.threads", s.resources.threads, Range{0, 1024},
           "CPU threads of the trainer; 0 divides the worker's cores by its slots");
  v.Number("resources.loader_threads", s.resources.loader_threads, Range{0, 64},
           "threads besides, which make batches ahead of the step; 0 makes each when it is taken");

  v.Number("scheduling.priority", s.scheduling.priority, Range{-1000, 1000}, "larger is sooner");
  v.Number("scheduling.max_restarts", s.scheduling.max_restarts, Range{0, 1000},
           "restarts after a failure that a retry may cure");
  v.Number("scheduling.restart_backoff_seconds", s.scheduling.restart_backoff_seconds,
           Range{0, 300}, "before the first restart; doubles with each, up to 300");
  v.Number("scheduling.deadline_seconds", s.scheduling.deadline_seconds, Range{0, 31536000},
           "longest time from first start to end; 0 is no limit");
  v.Number("scheduling.grace_seconds", s.scheduling.grace_seconds, Range{0, 3600},
           "between asking a trainer to stop and killing it");
}

}  // namespace bsnn::spec
