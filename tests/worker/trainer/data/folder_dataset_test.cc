#include "worker/trainer/data/folder_dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <png.h>

#include <set>

#include "tests/worker/support/temp_folder.h"

namespace bsnn::trainer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr int kSide = 16;

/// A picture of red, green and blue columns that change with x.
void SavePng(const std::filesystem::path& path, uint8_t red, uint32_t width = 40,
             uint32_t height = 30) {
  std::filesystem::create_directories(path.parent_path());
  std::vector<uint8_t> pixels;
  for (uint32_t i = 0; i < width * height; ++i) {
    pixels.insert(pixels.end(), {red, static_cast<uint8_t>(i % width * 6), 128});
  }
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = width;
  image.height = height;
  image.format = PNG_FORMAT_RGB;
  ASSERT_TRUE(png_image_write_to_file(&image, path.c_str(), 0, pixels.data(), 0, nullptr));
}

class FolderDatasetTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* file : {"train/cat/1.png", "train/cat/2.PNG", "train/cat/3.png",
                             "train/ant/x.png", "train/dog/a.png", "train/dog/b.png"}) {
      SavePng(folder_ / file, static_cast<uint8_t>(file[10] - '0'));
    }
    test::Append(folder_ / "train/ant/notes.txt", "no picture");
    SavePng(folder_ / "val/cat/9.png", 255);
    SavePng(folder_ / "val/dog/9.png", 0);
  }

  std::string MessageOf(Split split) {
    const auto data = OpenFolder(folder_.path(), split, kSide, 0);
    EXPECT_FALSE(data.ok());
    return std::string(data.status().message());
  }

  std::vector<float> Read(const Dataset& data, int64_t index,
                          const EpochAugmentation* change = nullptr) {
    std::vector<float> values(static_cast<size_t>(data.shape().values()));
    const absl::Status read = data.Read(index, change, values);
    EXPECT_TRUE(read.ok()) << read;
    return values;
  }

  test::TempFolder folder_;
};

TEST_F(FolderDatasetTest, NumbersClassesByNameAndTakesThemInTurn) {
  const auto train = OpenFolder(folder_.path(), Split::kTrain, kSide, 0);
  ASSERT_TRUE(train.ok()) << train.status();
  EXPECT_EQ((*train)->shape().classes, 3);
  EXPECT_EQ((*train)->shape().height, kSide);
  EXPECT_THAT((*train)->labels(), ElementsAre(0, 1, 2, 1, 2, 1));
  const auto four = OpenFolder(folder_.path(), Split::kTrain, kSide, 4);
  EXPECT_THAT((*four)->labels(), ElementsAre(0, 1, 2, 1));
  const auto test = OpenFolder(folder_.path(), Split::kTest, kSide, 0);
  ASSERT_TRUE(test.ok()) << test.status();
  EXPECT_THAT((*test)->labels(), ElementsAre(1, 2)) << "numbered as in train/";
  EXPECT_EQ((*test)->shape().classes, 3);
}

TEST_F(FolderDatasetTest, NormalisesByImageNet) {
  const auto test = OpenFolder(folder_.path(), Split::kTest, kSide, 0);
  ASSERT_TRUE(test.ok()) << test.status();
  const std::vector<float> picture = Read(**test, 0);
  EXPECT_NEAR(picture[0], (1 - 0.485) / 0.229, 1e-5);
  EXPECT_NEAR(picture[2 * kSide * kSide], (128.0 / 255 - 0.406) / 0.225, 1e-5);
  EXPECT_NEAR(Read(**test, 1)[0], -0.485 / 0.229, 1e-5);
}

TEST_F(FolderDatasetTest, TrainingPicturesAreDecidedBySeedEpochAndPicture) {
  const auto train = OpenFolder(folder_.path(), Split::kTrain, kSide, 0);
  ASSERT_TRUE(train.ok()) << train.status();
  const EpochAugmentation none{};
  EXPECT_EQ(Read(**train, 1, &none), Read(**train, 1)) << "nothing asked: the test view";
  EpochAugmentation change{.spec = {.resized_crop = true, .flip = true}, .seed = 1, .epoch = 0};
  std::set<std::vector<float>> seen;
  for (; change.epoch < 20; ++change.epoch) {
    seen.insert(Read(**train, 1, &change));
    EXPECT_EQ(Read(**train, 1, &change), Read(**train, 1, &change));
  }
  EXPECT_GT(seen.size(), 15u);
}

TEST_F(FolderDatasetTest, NamesThePictureThatCannotBeDecoded) {
  const auto train = OpenFolder(folder_.path(), Split::kTrain, kSide, 0);
  ASSERT_TRUE(train.ok()) << train.status();
  std::filesystem::resize_file(folder_ / "train/dog/a.png", 60);
  std::vector<float> values(3 * kSide * kSide);
  const absl::Status damaged = (*train)->Read(2, nullptr, values);
  EXPECT_TRUE(absl::IsDataLoss(damaged)) << damaged;
  EXPECT_THAT(std::string(damaged.message()), HasSubstr("train/dog/a.png: offset "));
  std::filesystem::remove(folder_ / "train/dog/a.png");
  const absl::Status missing = (*train)->Read(2, nullptr, values);
  EXPECT_TRUE(absl::IsNotFound(missing)) << missing;
  EXPECT_THAT(std::string(missing.message()), HasSubstr("train/dog/a.png"));
}

TEST_F(FolderDatasetTest, NamesTheFolderThatIsNotAsItShouldBe) {
  SavePng(folder_ / "val/elk/1.png", 0);
  EXPECT_THAT(MessageOf(Split::kTest), HasSubstr("val/elk: no class of train/ has this name"));
  std::filesystem::remove(folder_ / "train/ant/x.png");
  EXPECT_THAT(MessageOf(Split::kTrain), HasSubstr("train/ant: no picture"));
  std::filesystem::remove_all(folder_ / "train/ant");
  std::filesystem::remove_all(folder_ / "train/dog");
  EXPECT_THAT(MessageOf(Split::kTrain), HasSubstr("train: 1 folders of classes (allowed: 2 to"));
  std::filesystem::remove_all(folder_ / "train");
  EXPECT_THAT(MessageOf(Split::kTrain), HasSubstr("train: cannot be listed"));
  std::filesystem::remove_all(folder_ / "val");
  EXPECT_THAT(MessageOf(Split::kTest), HasSubstr("neither "));
}

TEST_F(FolderDatasetTest, WithoutTrainClassesAreThoseOfVal) {
  std::filesystem::remove_all(folder_ / "train");
  const auto test = OpenFolder(folder_.path(), Split::kTest, kSide, 0);
  ASSERT_TRUE(test.ok()) << test.status();
  EXPECT_THAT((*test)->labels(), ElementsAre(0, 1));
  const auto shape = FolderShape(folder_.path(), kSide);
  ASSERT_TRUE(shape.ok());
  EXPECT_EQ(shape->classes, 2);
}

}  // namespace
}  // namespace bsnn::trainer
