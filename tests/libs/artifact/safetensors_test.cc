#include "artifact/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstring>
#include <fstream>

namespace bsnn::artifact {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

std::string Written(std::vector<TensorBytes> tensors, const TensorMetadata& metadata) {
  std::string bytes;
  const auto status = WriteSafetensors(std::move(tensors), metadata, [&](std::string_view piece) {
    bytes.append(piece);
    return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
  return bytes;
}

/// A file with this header and `data_bytes` zeros behind it.
std::string WithHeader(std::string_view header, size_t data_bytes) {
  const uint64_t length = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes.append(header).append(data_bytes, '\0');
}

class Safetensors : public testing::Test {
 protected:
  Safetensors() {
    std::string name = testing::TempDir() + "/safetensors_XXXXXX";
    folder_ = ::mkdtemp(name.data());
  }
  ~Safetensors() override { fs::remove_all(folder_); }

  absl::StatusOr<SafetensorsFile> Open(std::string_view bytes) {
    std::ofstream(folder_ / "f", std::ios::binary) << bytes;
    return SafetensorsFile::Open(folder_ / "f");
  }
  std::string Fault(std::string_view header, size_t data_bytes) {
    const auto file = Open(WithHeader(header, data_bytes));
    if (file.ok()) return "ok";
    EXPECT_EQ(file.status().code(), absl::StatusCode::kDataLoss) << file.status();
    return std::string(file.status().message());
  }

  fs::path folder_;
};

TEST_F(Safetensors, ComeBackAsWritten) {
  const std::string a = "abcdefgh", b = "xyz", c = "12345678";
  const auto file = Open(Written({{"a", TensorType::kF32, {2, 1}, a},
                                  {"b", TensorType::kU8, {3}, b},
                                  {"scalar", TensorType::kI64, {}, c},
                                  {"empty", TensorType::kF64, {0, 5}, ""}},
                                 {{"key", "va\"lue"}}));
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ(file->tensors().size(), 4u);
  EXPECT_EQ(file->tensors()[0].name, "empty");
  EXPECT_EQ(file->tensors()[1].name, "scalar");
  EXPECT_EQ(file->tensors()[2].name, "a");
  EXPECT_EQ(file->tensors()[2].shape, (std::vector<uint64_t>{2, 1}));
  EXPECT_EQ(file->tensors()[3].type, TensorType::kU8);
  std::string back(8, '\0');
  ASSERT_TRUE(file->Read(file->tensors()[2], back).ok());
  EXPECT_EQ(back, a);
  EXPECT_EQ(file->metadata(), (TensorMetadata{{"key", "va\"lue"}}));
}

TEST_F(Safetensors, AreTheSameBytesInWhateverOrder) {
  const TensorBytes a{"a", TensorType::kF32, {1}, "aaaa"};
  const TensorBytes b{"b", TensorType::kI64, {1}, "bbbbbbbb"};
  EXPECT_EQ(Written({a, b}, {{"x", "1"}, {"y", "2"}}), Written({b, a}, {{"y", "2"}, {"x", "1"}}));
  EXPECT_EQ(
      Written({a}, {}),
      WithHeader(R"({"a":{"data_offsets":[0,4],"dtype":"F32","shape":[1]}}  )", 0) + "aaaa");
}

TEST_F(Safetensors, RefuseToWriteWhatCannotBeRead) {
  const auto fault = [](std::vector<TensorBytes> tensors) {
    const auto sink = [](std::string_view) { return absl::OkStatus(); };
    return WriteSafetensors(std::move(tensors), {}, sink).code();
  };
  const auto invalid = absl::StatusCode::kInvalidArgument;
  EXPECT_EQ(fault({{"a", TensorType::kF32, {2}, "aaaa"}}), invalid);
  EXPECT_EQ(fault({{"", TensorType::kU8, {1}, "a"}}), invalid);
  EXPECT_EQ(fault({{"__metadata__", TensorType::kU8, {1}, "a"}}), invalid);
  EXPECT_EQ(fault({{"a", TensorType::kU8, {1}, "a"}, {"a", TensorType::kU8, {1}, "a"}}), invalid);
  EXPECT_EQ(fault({{"a", TensorType::kU8, {uint64_t{1} << 63, 4}, ""}}), invalid);
}

TEST_F(Safetensors, RefuseHostileHeaders) {
  const auto tensor = [](std::string_view fields) {
    return std::string(R"({"a":{)").append(fields).append("}}");
  };
  EXPECT_EQ(Fault(tensor(R"("dtype":"U8","shape":[4],"data_offsets":[0,4])"), 4), "ok");
  EXPECT_EQ(Fault("{}", 0), "ok");
  EXPECT_THAT(Fault("", 0), HasSubstr("'{'"));
  EXPECT_THAT(Fault(" {}", 0), HasSubstr("'{'"));
  EXPECT_THAT(Fault("{", 0), HasSubstr("not JSON"));
  EXPECT_THAT(Fault("{}{", 0), HasSubstr("not JSON"));
  EXPECT_THAT(Fault("{\"\xff\":{}}", 0), HasSubstr("not JSON"));
  EXPECT_THAT(Fault("{}", 1), HasSubstr("the buffer at 1"));
  EXPECT_THAT(Fault(R"({"a":1})", 0), HasSubstr("not an object"));
  EXPECT_THAT(Fault(R"({"":{}})", 0), HasSubstr("no name"));
  EXPECT_THAT(Fault(R"({"a":{},"a":{}})", 0), HasSubstr("'a' must have dtype"));
  EXPECT_THAT(Fault(R"({"__metadata__":{},"__metadata__":{}})", 0), HasSubstr("twice"));
  EXPECT_THAT(Fault(R"({"__metadata__":{"k":1}})", 0), HasSubstr("a number in 'k'"));
  EXPECT_THAT(Fault(R"({"__metadata__":{"k":"1","k":"2"}})", 0), HasSubstr("twice"));
  EXPECT_THAT(Fault(R"({"__metadata__":{"k":{}}})", 0), HasSubstr("an object"));
  EXPECT_THAT(Fault(tensor(R"("dtype":"U8","shape":[4],"data_offsets":[0,5])"), 5),
              HasSubstr("its shape and dtype say 4"));
  EXPECT_THAT(Fault(tensor(R"("dtype":"U8","shape":[4],"data_offsets":[1,5])"), 5),
              HasSubstr("begins at 1"));
  EXPECT_THAT(Fault(tensor(R"("dtype":"U8","shape":[4],"data_offsets":[0,4])"), 3),
              HasSubstr("the buffer at 3"));
  EXPECT_THAT(Fault(tensor(R"("dtype":"U8","shape":[4],"data_offsets":[4,0])"), 4),
              HasSubstr("ends before"));
  EXPECT_THAT(Fault(tensor(R"("dtype":"U8","shape":[-1],"data_offsets":[0,4])"), 4),
              HasSubstr("a negative number"));
  EXPECT_THAT(Fault(tensor(R"("dtype":"U8","shape":[1.0],"data_offsets":[0,1])"), 1),
              HasSubstr("a fraction"));
  EXPECT_THAT(Fault(tensor(R"("dtype":"F8","shape":[],"data_offsets":[0,1])"), 1),
              HasSubstr("dtype is 'F8'"));
  EXPECT_THAT(
      Fault(tensor(R"("dtype":"F64","shape":[9223372036854775807,8],"data_offsets":[0,0])"), 0),
      HasSubstr("too large"));
  EXPECT_THAT(Fault(tensor(R"("dtype":"U8","shape":[[1]],"data_offsets":[0,1])"), 1),
              HasSubstr("a list"));
  EXPECT_THAT(Fault(tensor(R"("dtype":"U8","shape":[1],"data_offsets":[0,1,2])"), 1),
              HasSubstr("more than 2"));
  EXPECT_THAT(Fault(tensor(R"("dtype":"U8","shape":[1])"), 1), HasSubstr("must have dtype"));
  EXPECT_THAT(Fault(tensor(R"("dtype":"U8","shape":[1],"data_offsets":[0,1],"x":1)"), 1),
              HasSubstr("'x' is unknown"));
  EXPECT_THAT(Fault(tensor(R"("dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1])"), 1),
              HasSubstr("twice"));
}

TEST_F(Safetensors, RefuseTensorsThatShareBytes) {
  EXPECT_THAT(Fault(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                    R"("b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})",
                    6),
              HasSubstr("'b' begins at 2"));
}

TEST_F(Safetensors, RefuseAFileCutAtAnyByte) {
  const std::string whole = Written({{"a", TensorType::kF32, {2}, "abcdefgh"}}, {{"k", "v"}});
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(Open(std::string_view(whole).substr(0, size)).ok()) << size;
  }
  EXPECT_FALSE(Open(whole + "x").ok());
}

TEST_F(Safetensors, RefuseAGiantHeaderLengthWithoutReadingIt) {
  std::string bytes = WithHeader("{}", 0);
  bytes[6] = 1;
  EXPECT_THAT(std::string(Open(bytes).status().message()), HasSubstr("allowed: at most 100000000"));
}

}  // namespace
}  // namespace bsnn::artifact
