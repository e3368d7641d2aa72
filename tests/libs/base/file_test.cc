#include "base/file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace bsnn::base {
namespace {

namespace fs = std::filesystem;

class File : public testing::Test {
 protected:
  File() : folder_(fs::path(testing::TempDir()) / fs::path("file_test").concat(TestName())) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~File() override { fs::remove_all(folder_); }
  static std::string TestName() {
    return testing::UnitTest::GetInstance()->current_test_info()->name();
  }
  fs::path folder_;
};

TEST_F(File, WrittenIsReadBackAndNothingElseIsLeft) {
  const std::string content("a\0b\n", 4);
  ASSERT_TRUE(WriteFileDurably(folder_ / "x", "before").ok());
  ASSERT_TRUE(WriteFileDurably(folder_ / "x", content).ok());
  EXPECT_EQ(ReadFile(folder_ / "x", 4).value(), content);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 1);
}

TEST_F(File, ReadingIsBounded) {
  ASSERT_TRUE(WriteFileDurably(folder_ / "x", "12345").ok());
  EXPECT_EQ(ReadFile(folder_ / "x", 4).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(File, ErrorsNameThePath) {
  const absl::Status missing = ReadFile(folder_ / "none", 4).status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_NE(std::string(missing.message()).find((folder_ / "none").string()), std::string::npos);
  EXPECT_FALSE(ReadFile(folder_, 4).ok());
  EXPECT_FALSE(WriteFileDurably(folder_ / "no" / "x", "1").ok());
}

TEST_F(File, AFailedWriteLeavesTheOldContent) {
  ASSERT_TRUE(WriteFileDurably(folder_ / "x", "old").ok());
  fs::create_directory(folder_ / "x.tmp");  // the temporary file cannot be created
  EXPECT_FALSE(WriteFileDurably(folder_ / "x", "new").ok());
  EXPECT_EQ(ReadFile(folder_ / "x", 100).value(), "old");
}

TEST_F(File, MakeFolderMakesParentsAndMayBeRepeated) {
  EXPECT_TRUE(MakeFolder(folder_ / "a" / "b" / "c").ok());
  EXPECT_TRUE(MakeFolder(folder_ / "a" / "b" / "c").ok());
  EXPECT_TRUE(fs::is_directory(folder_ / "a" / "b" / "c"));
  ASSERT_TRUE(WriteFileDurably(folder_ / "x", "1").ok());
  EXPECT_FALSE(MakeFolder(folder_ / "x" / "y").ok());
}

}  // namespace
}  // namespace bsnn::base
