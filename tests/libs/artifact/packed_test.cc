#include "artifact/packed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <sstream>

namespace bsnn::artifact {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// What the golden file holds: two channels of 5 signs, so that a byte has bits of both and the
/// last byte is padded; 8-bit codes; float32.
PackedModel GoldenModel() {
  const std::vector<float> signs = {0.25F, -0.25F, -0.25F, 0.25F, 0.25F, -3, -3, 3, -3, 3};
  const std::vector<int8_t> codes = {-127, 0, 5, 127};
  const std::vector<float> bias = {1.5F, -2};
  return {{*PackSigns("conv2.weight", {2, 5, 1, 1}, signs),
           PackInt8("fc.weight", {2, 2}, codes, 0.5F), PackFloat("fc.bias", {2}, bias)},
          {{"network", "convnet"}, {"step", "7"}}};
}

std::string BytesOf(const PackedModel& model) {
  std::string bytes;
  const absl::Status status = WritePacked(model, [&](std::string_view more) {
    bytes += more;
    return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
  return bytes;
}

class Packed : public testing::Test {
 protected:
  Packed() : path_(testing::TempDir() + "packed_test." + std::to_string(::getpid())) {}
  ~Packed() override { std::filesystem::remove(path_); }

  absl::StatusOr<PackedFile> Open(std::string_view bytes) {
    std::ofstream(path_, std::ios::binary) << bytes;
    return PackedFile::Open(path_);
  }
  /// The message of opening and, where that went well, of reading everything.
  std::string FaultOf(std::string_view bytes) {
    const auto file = Open(bytes);
    if (!file.ok()) return std::string(file.status().message());
    for (const PackedEntry& entry : file->entries()) {
      std::vector<float> out(entry.numel());
      if (const auto status = file->Read(entry, out); !status.ok())
        return std::string(status.message());
    }
    return "";
  }
  /// A file of other tensors and metadata, with format and version as they should be.
  std::string Raw(const std::vector<TensorBytes>& tensors, TensorMetadata metadata) {
    metadata.insert({{"format", "bsnn-packed"}, {"version", "1"}});
    std::string bytes;
    const auto status = WriteSafetensors(tensors, metadata, [&](std::string_view more) {
      bytes += more;
      return absl::OkStatus();
    });
    EXPECT_TRUE(status.ok()) << status;
    return bytes;
  }

  std::filesystem::path path_;
};

std::vector<float> ReadAll(const PackedFile& file, size_t index) {
  const PackedEntry& entry = file.entries()[index];
  std::vector<float> out(entry.numel());
  EXPECT_TRUE(file.Read(entry, out).ok());
  return out;
}

TEST_F(Packed, GoldenFileIsReadAndWrittenByteForByte) {
  std::ifstream stream(BSNN_GOLDEN_PACKED, std::ios::binary);
  std::stringstream golden;
  golden << stream.rdbuf();
  ASSERT_FALSE(golden.str().empty()) << BSNN_GOLDEN_PACKED;
  EXPECT_EQ(BytesOf(GoldenModel()), golden.str());
  const auto file = PackedFile::Open(BSNN_GOLDEN_PACKED);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ(file->entries().size(), 3u);
  EXPECT_EQ(file->entries()[0].name, "conv2.weight");
  EXPECT_THAT(file->entries()[0].shape, ElementsAre(2, 5, 1, 1));
  EXPECT_THAT(ReadAll(*file, 0),
              ElementsAre(0.25F, -0.25F, -0.25F, 0.25F, 0.25F, -3, -3, 3, -3, 3));
  EXPECT_THAT(ReadAll(*file, 1), ElementsAre(1.5F, -2));
  EXPECT_THAT(ReadAll(*file, 2), ElementsAre(-63.5F, 0, 2.5F, 63.5F));
  EXPECT_EQ(file->card().at("network"), "convnet");
}

TEST_F(Packed, BitsAreLowestFirstInRowMajorOrder) {
  const PackedTensor tensor = GoldenModel().tensors[0];
  // + - - + + - - + | - +
  ASSERT_EQ(tensor.bytes.size(), 2u);
  EXPECT_EQ(static_cast<uint8_t>(tensor.bytes[0]), 0b1001'1001);
  EXPECT_EQ(static_cast<uint8_t>(tensor.bytes[1]), 0b0000'0010);
  EXPECT_THAT(tensor.scale, ElementsAre(0.25F, 3));
  EXPECT_EQ(tensor.size_bytes(), 2u + 2 * 4);
}

TEST_F(Packed, UnpackedWeightsHaveTheirVeryBits) {
  // Zeroes, the smallest and the largest numbers, and what a diverged run leaves.
  const std::vector<float> weights = {0.0F, -0.0F, 1e-45F, -1e-45F, 3.4e38F, -3.4e38F, kNan, -kNan};
  const auto tensor = PackSigns("w", {4, 2}, weights);
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  const auto file = Open(BytesOf({{*tensor}, {}}));
  ASSERT_TRUE(file.ok()) << file.status();
  const std::vector<float> back = ReadAll(*file, 0);
  for (size_t i = 0; i < weights.size(); ++i) {
    EXPECT_EQ(std::bit_cast<uint32_t>(back[i]), std::bit_cast<uint32_t>(weights[i])) << i;
  }
}

TEST_F(Packed, WeightsOfTwoMagnitudesInAChannelAreRefused) {
  const std::vector<float> weights = {1, -1, 1, -1.5F};
  const auto tensor = PackSigns("w", {2, 2}, weights);
  EXPECT_TRUE(absl::IsInvalidArgument(tensor.status()));
  EXPECT_THAT(std::string(tensor.status().message()), HasSubstr("weight 3 is -1.5"));
}

TEST_F(Packed, AnotherFormatOrVersionSaysSo) {
  const std::vector<TensorBytes> none = {{"a", TensorType::kF32, {1}, "0123"}};
  EXPECT_THAT(FaultOf(Raw(none, {{"format", "bsnn"}})),
              HasSubstr("is no packed model: format in its metadata is 'bsnn'"));
  const auto newer = Open(Raw(none, {{"version", "2"}}));
  EXPECT_TRUE(absl::IsFailedPrecondition(newer.status()));
  EXPECT_THAT(
      std::string(newer.status().message()),
      HasSubstr("has format version '2' (allowed: 1; a newer version needs a newer program)"));
  EXPECT_TRUE(absl::IsNotFound(PackedFile::Open("/nonexistent/file").status()));
}

TEST_F(Packed, WhatDoesNotFitTogetherNamesTheTensor) {
  const TensorBytes signs{"w.signs", TensorType::kU8, {2}, std::string_view("\xff\x01", 2)};
  const TensorBytes scale{"w.scale", TensorType::kF32, {3}, "aaaabbbbcccc"};
  const TensorMetadata shape = {{"w.shape", "3 3"}};
  EXPECT_EQ(FaultOf(Raw({signs, scale}, shape)), "");
  EXPECT_THAT(FaultOf(Raw({signs, scale}, {})), HasSubstr("'w.signs' has the shape ''"));
  for (const char* text : {"3  3", "3 3 ", " 3 3", "3,3", "-3 3", "3 99999999999999999999", "x"}) {
    EXPECT_THAT(FaultOf(Raw({signs, scale}, {{"w.shape", text}})), HasSubstr("has the shape '"))
        << text;
  }
  for (const char* text : {"3 7", "2 4", "0 3", "4294967296 4294967296"}) {
    EXPECT_THAT(FaultOf(Raw({signs, scale}, {{"w.shape", text}})), HasSubstr("has 2 bytes"))
        << text;
  }
  EXPECT_THAT(FaultOf(Raw({signs}, shape)), HasSubstr("needs 'w.scale', F32 of 3 numbers"));
  EXPECT_THAT(FaultOf(Raw({signs, scale}, {{"w.shape", "9 1"}})), HasSubstr("F32 of 9 numbers"));
  EXPECT_THAT(FaultOf(Raw({signs, scale, {"w", TensorType::kF32, {1}, "0123"}}, shape)),
              HasSubstr("is there in two packings"));
  EXPECT_THAT(FaultOf(Raw({{"w", TensorType::kU8, {1}, "0"}}, {})),
              HasSubstr("does not end with .signs"));
  EXPECT_THAT(FaultOf(Raw({{"w", TensorType::kI64, {1}, "01234567"}}, {})),
              HasSubstr("is I64 (allowed: F32, I8, U8)"));
  const TensorBytes behind{"w.signs", TensorType::kU8, {2}, std::string_view("\xff\x02", 2)};
  EXPECT_THAT(FaultOf(Raw({behind, scale}, shape)), HasSubstr("bits behind its last sign"));
  EXPECT_THAT(FaultOf(Raw({{"w", TensorType::kI8, {2}, std::string_view("\x01\x80", 2)},
                           {"w.scale", TensorType::kF32, {1}, "0123"}},
                          {})),
              HasSubstr("has the code -128 at 1"));
}

TEST_F(Packed, NamesThatClashAreNotWritten) {
  PackedModel model = GoldenModel();
  const std::vector<float> one = {1};
  model.tensors.push_back(PackFloat("conv2.weight.scale", {1}, one));
  const absl::Status status = WritePacked(model, [](std::string_view) { return absl::OkStatus(); });
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
}

}  // namespace
}  // namespace bsnn::artifact
