#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include "tests/worker/support/temp_folder.h"
#include "worker/trainer/data/cifar.h"
#include "worker/trainer/data/idx.h"

namespace bsnn::trainer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr uint64_t kBytesMax = 1 << 20;

std::string Idx(const std::vector<uint32_t>& shape, const std::string& data) {
  std::string text("\0\0\x08", 3);
  text += static_cast<char>(shape.size());
  for (const uint32_t extent : shape) {
    for (int shift = 24; shift >= 0; shift -= 8) text += static_cast<char>(extent >> shift);
  }
  return text + data;
}

std::string MessageOf(const absl::Status& status) {
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  return std::string(status.message());
}

TEST(Idx, ReadsWhatItsHeaderSays) {
  const auto array = ParseIdx(Idx({2, 1, 3}, "abcdef"), 3, kBytesMax);
  ASSERT_TRUE(array.ok()) << array.status();
  EXPECT_THAT(array->shape, ElementsAre(2, 1, 3));
  EXPECT_THAT(array->bytes, ElementsAre('a', 'b', 'c', 'd', 'e', 'f'));
}

TEST(Idx, NamesTheOffsetOfWhatIsWrong) {
  const auto fault = [](const std::string& text, int dimensions = 1) {
    return MessageOf(ParseIdx(text, dimensions, kBytesMax).status());
  };
  EXPECT_THAT(fault(""), HasSubstr("0 bytes (allowed: a header of 8)"));
  EXPECT_THAT(fault(Idx({2}, "ab").substr(0, 7)), HasSubstr("7 bytes"));
  EXPECT_THAT(fault(Idx({2}, "ab"), 2), HasSubstr("header of 12"));
  EXPECT_THAT(fault(Idx({1, 2}, "ab")), HasSubstr("magic is 0x00000802 (allowed: 0x00000801)"));
  EXPECT_THAT(fault(Idx({0}, "")), HasSubstr("offset 4: extent is 0"));
  EXPECT_THAT(fault(Idx({3}, "ab")), HasSubstr("offset 8: 2 bytes of data (allowed: 3)"));
  EXPECT_THAT(fault(Idx({1}, "ab")), HasSubstr("2 bytes of data (allowed: 1)"));
}

TEST(Idx, RefusesExtentsThatWouldOverflowOrFillTheMemory) {
  const auto fault = [](const std::vector<uint32_t>& shape) {
    return MessageOf(ParseIdx(Idx(shape, ""), static_cast<int>(shape.size()), kBytesMax).status());
  };
  EXPECT_THAT(fault({0xFFFFFFFF}), HasSubstr("extent is 4294967295"));
  EXPECT_THAT(fault({1 << 16, 1 << 16, 1 << 16}), HasSubstr("offset 8"));
}

TEST(Idx, ReadsGzipAndBoundsWhatItHolds) {
  const test::TempFolder folder;
  const auto pack = [&](const std::string& content) {
    const gzFile file = gzopen((folder / "x.gz").c_str(), "wb");
    gzwrite(file, content.data(), static_cast<unsigned>(content.size()));
    gzclose(file);
  };
  EXPECT_TRUE(absl::IsNotFound(ReadIdx(folder / "x", 1, kBytesMax).status()));
  pack(Idx({4}, "abcd"));
  EXPECT_TRUE(ReadIdx(folder / "x", 1, kBytesMax).ok());
  // Zeros pack well: a small file that would fill the memory.
  pack(std::string(64 << 20, '\0'));
  EXPECT_LT(std::filesystem::file_size(folder / "x.gz"), 100'000u);
  EXPECT_THAT(MessageOf(ReadIdx(folder / "x", 1, kBytesMax).status()),
              HasSubstr("holds more than"));
  std::filesystem::resize_file(folder / "x.gz", 1000);
  EXPECT_THAT(MessageOf(ReadIdx(folder / "x", 1, 1 << 30).status()), HasSubstr("x.gz"));
}

constexpr CifarFormat kTen{.label_bytes = 1, .classes = 10};
constexpr CifarFormat kHundred{.label_bytes = 2, .classes = 100};

std::string Record(const std::string& labels, char pixel) {
  return labels + std::string(static_cast<size_t>(kCifarPixels), pixel);
}

TEST(Cifar, ReadsRecordsOfOneOrTwoLabels) {
  Pictures pictures;
  ASSERT_TRUE(ParseCifar(Record("\x03", 'a') + Record("\x09", 'b'), kTen, pictures).ok());
  ASSERT_TRUE(ParseCifar(Record({'\x63', '\x0b'}, 'c'), kHundred, pictures).ok());
  EXPECT_THAT(pictures.labels, ElementsAre(3, 9, 11)) << "the fine label, appended";
  ASSERT_EQ(std::ssize(pictures.pixels), 3 * kCifarPixels);
  EXPECT_EQ(pictures.pixels.front(), 'a');
  EXPECT_EQ(pictures.pixels.back(), 'c');
}

TEST(Cifar, NamesTheOffsetOfWhatIsWrongAndAppendsNothing) {
  Pictures pictures;
  const std::string whole = Record("\x01", 'a');
  EXPECT_THAT(MessageOf(ParseCifar("", kTen, pictures)), HasSubstr("offset 0"));
  EXPECT_THAT(MessageOf(ParseCifar(whole + "x", kTen, pictures)),
              HasSubstr("offset 3073: the content ends after 3074 bytes"));
  EXPECT_THAT(MessageOf(ParseCifar(whole + Record("\x0a", 'a'), kTen, pictures)),
              HasSubstr("offset 3073: label is 10 (allowed: 0 to 9)"));
  EXPECT_TRUE(pictures.labels.empty());
  const test::TempFolder folder;
  EXPECT_TRUE(absl::IsNotFound(ReadCifar(folder / "x", kTen, kBytesMax, pictures)));
  test::Append(folder / "x", "short");
  EXPECT_THAT(MessageOf(ReadCifar(folder / "x", kTen, kBytesMax, pictures)),
              HasSubstr((folder / "x").string()));
}

}  // namespace
}  // namespace bsnn::trainer
