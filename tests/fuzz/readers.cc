#include "tests/fuzz/readers.h"

#include <fcntl.h>
#include <jpeglib.h>
#include <png.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "artifact/manifest.h"
#include "artifact/packed.h"
#include "artifact/safetensors.h"
#include "base/check.h"
#include "spec/event.h"
#include "spec/job_spec.h"
#include "spec/packed_spec.h"
#include "worker/trainer/data/cifar.h"
#include "worker/trainer/data/events/frames.h"
#include "worker/trainer/data/events/gesture_labels.h"
#include "worker/trainer/data/events/recording.h"
#include "worker/trainer/data/idx.h"
#include "worker/trainer/data/picture_file.h"
#include "worker/trainer/data/resize.h"

namespace bsnn::fuzz {
namespace {

constexpr uint64_t kBufferBytes = 64;

bool ReadSafetensorsHeader(std::string_view text) {
  const auto header = artifact::ParseSafetensorsHeader(text, kBufferBytes);
  if (!header.ok()) return false;
  uint64_t end = 0;
  for (const auto& tensor : header->tensors) {  // no holes, no overlaps
    BSNN_CHECK(tensor.begin == end);
    end = tensor.end;
  }
  BSNN_CHECK(end == kBufferBytes);
  return true;
}

bool ReadManifest(std::string_view text) {
  const auto manifest = artifact::ParseManifest(text);
  if (!manifest.ok()) return false;
  const auto again = artifact::ParseManifest(artifact::ToText(*manifest));
  BSNN_CHECK(again.ok() && again->files == manifest->files && again->step == manifest->step);
  return true;
}

bool ReadEvent(std::string_view text) {
  const auto event = spec::ParseEventLine(text);
  if (!event.ok()) return false;
  BSNN_CHECK(spec::ParseEventLine(spec::ToJsonLine(*event)).ok());
  return true;
}

bool ReadSpec(std::string_view text) {
  const auto spec = spec::ParseJobSpec(text);
  if (!spec.ok()) return false;
  const std::string canonical = spec::CanonicalText(*spec);
  BSNN_CHECK(spec::CanonicalText(*spec::ParseJobSpec(canonical)) == canonical);
  return true;
}

bool ReadPackedSpec(std::string_view bytes) {
  const auto spec = spec::Unpack(bytes);
  if (!spec.ok()) return false;
  BSNN_CHECK(spec::Pack(*spec) == bytes);
  return true;
}

std::string SomePackedSpec() {
  spec::JobSpec spec;
  spec.network.time_steps = 4;
  spec.optimizer.learning_rate = 0.3;
  spec.neuron.detach_reset = true;
  spec.scheduling.priority = -7;
  return spec::Pack(spec);
}

bool ReadIdxPictures(std::string_view content) {
  const auto array = trainer::ParseIdx(content, 3, 1 << 20);
  if (!array.ok()) return false;
  BSNN_CHECK(std::ssize(array->bytes) == array->shape[0] * array->shape[1] * array->shape[2]);
  return true;
}

bool ReadCifarPictures(std::string_view content) {
  trainer::Pictures pictures;
  if (!trainer::ParseCifar(content, {.label_bytes = 2, .classes = 100}, pictures).ok())
    return false;
  BSNN_CHECK(std::ssize(pictures.pixels) == std::ssize(pictures.labels) * trainer::kCifarPixels);
  return true;
}

/// Reads, and cuts what was read in each way: frames hold every event, whatever times it has.
template <absl::Status (*Parse)(std::string_view, trainer::EventVisitor), int32_t side>
bool ReadRecording(std::string_view content) {
  trainer::EventSurvey survey;
  if (!Parse(content, [&](const trainer::SensorEvent& event) { survey.Add(event); }).ok())
    return false;
  BSNN_CHECK(survey.events > 0 && survey.first >= 0);
  for (const spec::FramesBy by :
       {spec::FramesBy::kNumber, spec::FramesBy::kTime, spec::FramesBy::kDuration}) {
    trainer::FrameBuilder frames({by, 3, int64_t{1} << 62}, survey, side);
    BSNN_CHECK(Parse(content, [&](const trainer::SensorEvent& event) { frames.Add(event); }).ok());
    int64_t sum = 0;
    for (const uint32_t count : frames.counts()) sum += count;
    BSNN_CHECK(sum == survey.events);
  }
  return true;
}

bool ReadGestureLabels(std::string_view content) {
  const auto pieces = trainer::ParseGestureLabels(content);
  if (!pieces.ok()) return false;
  for (const trainer::GesturePiece& piece : *pieces) {
    BSNN_CHECK(piece.label < trainer::kGestureClasses && piece.start < piece.end);
  }
  return true;
}

/// The file as a whole, in memory: header, card, signs and scales.
bool ReadPackedModel(std::string_view content) {
  const int memory = ::memfd_create("packed", MFD_CLOEXEC);
  BSNN_CHECK(memory >= 0 &&
             ::write(memory, content.data(), content.size()) == ssize_t(content.size()));
  const auto file = artifact::PackedFile::Open("/proc/self/fd/" + std::to_string(memory));
  bool accepted = file.ok();
  for (size_t i = 0; accepted && i < file->entries().size(); ++i) {
    const artifact::PackedEntry& entry = file->entries()[i];
    BSNN_CHECK(entry.numel() <= 8 * content.size());  // memory is bounded by the file
    std::vector<float> values(entry.numel());
    accepted = file->Read(entry, values).ok();
  }
  ::close(memory);
  return accepted;
}

std::string SomePackedModel() {
  const float weights[] = {0.5F, -0.5F, -0.5F, 0.5F, 0.5F, 2, -2, -2, 2, -2};
  const int8_t codes[] = {-127, 0, 5};
  const float bias[] = {1, -1};
  artifact::PackedModel model{
      {*artifact::PackSigns("a", {2, 5, 1}, {weights, 10}),
       artifact::PackInt8("b", {3}, {codes, 3}, 0.25F), artifact::PackFloat("c", {2}, {bias, 2})},
      {{"network", "convnet"}}};
  std::string bytes;
  const auto status = artifact::WritePacked(model, [&](std::string_view more) {
    bytes += more;
    return absl::OkStatus();
  });
  BSNN_CHECK(status.ok());
  return bytes;
}

/// Decodes, and takes views of what was decoded, as the data set of folders does.
bool ReadPicture(std::string_view content) {
  constexpr int64_t kPixelsMax = 1 << 16;
  constexpr int64_t kSide = 16;
  const auto picture = trainer::DecodePicture(content, kPixelsMax);
  if (!picture.ok()) return false;
  BSNN_CHECK(picture->height > 0 && picture->width > 0);
  BSNN_CHECK(std::ssize(picture->pixels) == picture->height * picture->width * 3);
  std::vector<uint8_t> view(3 * kSide * kSide);
  trainer::ResizeAndCutMiddle(*picture, kSide, view);
  trainer::RandomStream random(content.size(), 0, 0);
  const trainer::Box box = trainer::RandomBox(picture->height, picture->width, random);
  BSNN_CHECK(box.top >= 0 && box.left >= 0 && box.height > 0 && box.width > 0);
  BSNN_CHECK(box.top + box.height <= picture->height && box.left + box.width <= picture->width);
  trainer::CutAndResize(*picture, box, kSide, view);
  return true;
}

constexpr int kPictureSide = 20;

std::vector<uint8_t> SomePixels() {
  std::vector<uint8_t> pixels;
  for (int i = 0; i < kPictureSide * kPictureSide * 3; ++i) {
    pixels.push_back(static_cast<uint8_t>(i * i / 7));
  }
  return pixels;
}

std::string SomePng(png_uint_32 format) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = image.height = kPictureSide;
  image.format = format;
  const std::vector<uint8_t> pixels = SomePixels();
  std::string content(16'384, '\0');
  png_alloc_size_t size = content.size();
  BSNN_CHECK(
      png_image_write_to_memory(&image, content.data(), &size, 0, pixels.data(), 0, nullptr));
  content.resize(size);
  return content;
}

std::string SomeJpeg(bool progressive) {
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* buffer = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &buffer, &size);
  info.image_width = info.image_height = kPictureSide;
  info.input_components = 3;
  info.in_color_space = JCS_RGB;
  jpeg_set_defaults(&info);
  if (progressive) jpeg_simple_progression(&info);
  jpeg_start_compress(&info, TRUE);
  std::vector<uint8_t> pixels = SomePixels();
  for (int row = 0; row < kPictureSide; ++row) {
    JSAMPROW line = pixels.data() + row * kPictureSide * 3;
    jpeg_write_scanlines(&info, &line, 1);
  }
  jpeg_finish_compress(&info);
  std::string content(reinterpret_cast<char*>(buffer), size);
  jpeg_destroy_compress(&info);
  std::free(buffer);
  return content;
}

std::string SomeManifest() {
  artifact::Manifest manifest;
  manifest.step = 938;
  manifest.epoch = 1;
  manifest.accuracy_ratio = 0.97;
  manifest.spec = spec::CanonicalText(spec::JobSpec());
  manifest.files = {{"model.safetensors", 222728, std::string(64, 'a')},
                    {"training.safetensors", 0, std::string(64, '0')}};
  return artifact::ToText(manifest);
}

std::vector<std::string> SomeEvents() {
  const absl::Time time = absl::FromUnixSeconds(1'700'000'000);
  std::vector<std::string> lines;
  for (const spec::Event& event :
       {spec::Event{1, time, spec::Started{"cpu", 2, 100, 50, 10, 30, 0}},
        spec::Event{2, time, spec::Progress{1, 30, 1, 3, 100.5, 2.5}},
        spec::Event{3, time, spec::MetricPoint{"loss", "conv2", "train", 1, 2, 1, 0.25}},
        spec::Event{4, time, spec::LogLine{spec::Severity::kInfo, "a \"line\"\n"}},
        spec::Event{5, time, spec::Finished{}}}) {
    lines.push_back(spec::ToJsonLine(event));
  }
  return lines;
}

}  // namespace

std::vector<Reader> Readers() {
  return {
      {"safetensors",
       ReadSafetensorsHeader,
       {R"({"a":{"dtype":"F32","shape":[2,4],"data_offsets":[0,32]},)"
        R"("b":{"dtype":"I64","shape":[4],"data_offsets":[32,64]},"__metadata__":{"k":"v"}})"}},
      {"packed", ReadPackedModel, {SomePackedModel()}},
      {"manifest", ReadManifest, {SomeManifest()}},
      {"event_line", ReadEvent, SomeEvents()},
      {"job_spec",
       ReadSpec,
       {"{}", spec::CanonicalText(spec::JobSpec()),
        R"({"network":{"time_steps":4},"training":{"epochs":3}})"}},
      // Any number of the right length is a value.
      {"packed_spec", ReadPackedSpec, {"\1", SomePackedSpec()}, 0.3},
      {"idx",
       ReadIdxPictures,
       {std::string("\0\0\x08\x03\0\0\0\x02\0\0\0\x01\0\0\0\x03", 16) + "abcdef"}},
      {"cifar", ReadCifarPictures, {std::string(2 * 3074, '\x05')}},
      {"atis",
       ReadRecording<trainer::ParseAtis, trainer::kAtisSide>,
       {std::string("\x01\x02\x80\x00\x07\x00\xf0\x00\x00\x00\x20\x01\x7f\xff\xff", 15)}},
      {"aedat2",
       ReadRecording<trainer::ParseAedat2, trainer::kDvs128Side>,
       {"#!AER-DAT2.0\r\n# text\r\n" + std::string("\0\0;=\0\0\x04\x9a\0\0-h\0\0\x04\xad", 16)}},
      {"aedat3",
       ReadRecording<trainer::ParseAedat3, trainer::kDvs128Side>,
       {"#!AER-DAT3.1\r\n#!END-HEADER\r\n" +
        std::string("\1\0\1\0\x08\0\0\0\4\0\0\0\0\0\0\0\2\0\0\0\2\0\0\0\2\0\0\0"
                    "=\1\xb0\0\x35\4\0\0g\0\xb4\0`\6\0\0",
                    44)}},
      {"gesture_labels",
       ReadGestureLabels,
       {"class,startTime_usec,endTime_usec\n2,85212124,91112128\n11,104,209\n"}},
      // A JPEG is decoded as far as it can be: only what has no picture at all is refused.
      {"jpeg", ReadPicture, {SomeJpeg(false), SomeJpeg(true)}, 0.1},
      {"png", ReadPicture, {SomePng(PNG_FORMAT_RGB), SomePng(PNG_FORMAT_GRAY)}}};
}

}  // namespace bsnn::fuzz
