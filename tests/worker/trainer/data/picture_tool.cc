// Runs one operation of worker/trainer/data on a picture, for comparison with Pillow:
//   picture_tool OPERATION VALUE HEIGHT WIDTH     planes of bytes from standard input to output
//   picture_tool auto SEED HEIGHT WIDTH           AutoAugment with the stream (SEED, 0, 0)
//   picture_tool decode FILE                      bytes [H, W, 3]; what is wrong to standard error
//   picture_tool middle FILE SIDE                 the test view, planes
//   picture_tool cut FILE SIDE TOP LEFT HEIGHT WIDTH
//   picture_tool box SEED HEIGHT WIDTH            RandomBox with the stream (SEED, 0, 0)
#include <algorithm>
#include <cstdio>
#include <iterator>
#include <string>
#include <string_view>

#include "base/file.h"
#include "worker/trainer/data/auto_augment.h"
#include "worker/trainer/data/folder_dataset.h"
#include "worker/trainer/data/picture_file.h"
#include "worker/trainer/data/resize.h"

namespace bsnn::trainer {
namespace {

constexpr std::string_view kOps[] = {
    "invert",     "autocontrast", "equalize", "posterize",   "solarize",    "color", "contrast",
    "brightness", "sharpness",    "shear_y",  "translate_x", "translate_y", "rotate"};

int Write(const std::vector<uint8_t>& bytes) {
  return std::fwrite(bytes.data(), 1, bytes.size(), stdout) == bytes.size() ? 0 : 1;
}

int RunOperation(const std::string& operation, const std::string& value, const PictureSize& size) {
  std::vector<uint8_t> picture(static_cast<size_t>(size.bytes()));
  if (std::fread(picture.data(), 1, picture.size(), stdin) != picture.size()) return 1;
  if (operation == "auto") {
    RandomStream random(std::stoull(value), 0, 0);
    AutoAugment(size, random, picture);
  } else {
    const auto* const op = std::find(std::begin(kOps), std::end(kOps), operation);
    if (op == std::end(kOps)) return 2;
    Apply(static_cast<PictureOp>(op - std::begin(kOps)), std::stod(value), size, picture);
  }
  return Write(picture);
}

int Run(const std::vector<std::string>& words) {
  const auto number = [&](size_t i) { return std::stoll(words.at(i)); };
  if (words[0] == "box") {
    RandomStream random(static_cast<uint64_t>(number(1)), 0, 0);
    const Box box = RandomBox(number(2), number(3), random);
    std::printf("%ld %ld %ld %ld\n", box.top, box.left, box.height, box.width);
    return 0;
  }
  if (words[0] != "decode" && words[0] != "middle" && words[0] != "cut") {
    return RunOperation(words[0], words.at(1), {3, number(2), number(3)});
  }
  const auto content = base::ReadFile(words.at(1), 1 << 30);
  if (!content.ok()) return 1;
  const auto picture = DecodePicture(*content, kPicturePixelsMax);
  if (!picture.ok()) {
    std::fprintf(stderr, "%s\n", std::string(picture.status().message()).c_str());
    return 3;
  }
  if (words[0] == "decode") return Write(picture->pixels);
  const auto side = number(2);
  std::vector<uint8_t> out(static_cast<size_t>(3 * side * side));
  if (words[0] == "middle") {
    ResizeAndCutMiddle(*picture, side, out);
  } else {
    CutAndResize(*picture, {number(3), number(4), number(5), number(6)}, side, out);
  }
  return Write(out);
}

}  // namespace
}  // namespace bsnn::trainer

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  return bsnn::trainer::Run({argv + 1, argv + argc});
}
