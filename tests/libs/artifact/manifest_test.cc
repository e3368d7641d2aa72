#include "artifact/manifest.h"

#include <gtest/gtest.h>

#include <cmath>

#include "artifact/digest.h"
#include "base/fault.h"

namespace bsnn::artifact {
namespace {

Manifest Example() {
  return {
      "full",
      938,
      1,
      0.9775,
      R"({"training":{"seed":1}})",
      {{"training.safetensors", 20, Sha256Hex("t")}, {"model.safetensors", 10, Sha256Hex("m")}}};
}

/// The example's text with `from` replaced by `to`, once.
std::string Edited(std::string_view from, std::string_view to) {
  std::string text = ToText(Example());
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

/// The field of the first fault, or what else came out.
std::string FaultOf(std::string_view text) {
  const auto manifest = ParseManifest(text);
  if (manifest.ok()) return "ok";
  const auto faults = base::FaultsOf(manifest.status());
  return faults.empty() ? std::string(manifest.status().message()) : faults.front().field;
}

TEST(Manifest, ComesBackAsItWas) {
  const auto back = ParseManifest(ToText(Example()));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->step, 938);
  EXPECT_EQ(back->epoch, 1);
  EXPECT_EQ(back->accuracy_ratio, 0.9775);
  EXPECT_EQ(back->spec, R"({"training":{"seed":1}})");
  ASSERT_EQ(back->files.size(), 2u);
  EXPECT_EQ(back->files[0].name, "model.safetensors");
  EXPECT_EQ(ToText(*back), ToText(Example()));
}

TEST(Manifest, HasTheFrozenBytesOfVersion1) {
  Manifest manifest{"full", 2, 1, std::nan(""), R"({"b":1,"a":2})", {{"m", 1, Sha256Hex("")}}};
  EXPECT_EQ(ToText(manifest), R"({
  "accuracy_ratio": "NaN",
  "epoch": 1,
  "files": [
    {
      "name": "m",
      "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
      "size_bytes": 1
    }
  ],
  "format": "bsnn-checkpoint",
  "kind": "full",
  "spec": {
    "a": 2,
    "b": 1
  },
  "step": 2,
  "version": 1
}
)");
  EXPECT_TRUE(std::isnan(ParseManifest(ToText(manifest))->accuracy_ratio));
}

TEST(Manifest, NamesEachWrongField) {
  EXPECT_EQ(FaultOf(Edited("bsnn-checkpoint", "other")), "manifest.format");
  EXPECT_EQ(FaultOf(Edited("\"version\": 1", "\"version\": 2")), "manifest.version");
  EXPECT_EQ(FaultOf(Edited("\"full\"", "\"half\"")), "manifest.kind");
  EXPECT_EQ(FaultOf(Edited("938", "-1")), "manifest.step");
  EXPECT_EQ(FaultOf(Edited("938", "9.5")), "manifest.step");
  EXPECT_EQ(FaultOf(Edited("0.9775", "1.5")), "manifest.accuracy_ratio");
  EXPECT_EQ(FaultOf(Edited("0.9775", "\"much\"")), "manifest.accuracy_ratio");
  EXPECT_EQ(FaultOf(Edited("model.safe", "../model.safe")), "manifest.files[0].name");
  EXPECT_EQ(FaultOf(Edited("\"model.safetensors\"", "\"z\"")), "manifest.files[1].name");
  EXPECT_EQ(FaultOf(Edited("\"size_bytes\": 10", "\"size_bytes\": \"10\"")),
            "manifest.files[0].size_bytes");
  EXPECT_EQ(FaultOf(Edited(Sha256Hex("m"), "abc")), "manifest.files[0].sha256");
  EXPECT_EQ(FaultOf(Edited("\"step\"", "\"steps\"")), "manifest.step");
  EXPECT_EQ(FaultOf(Edited("\"step\"", "\"more\": 1, \"step\"")), "manifest.more");
}

TEST(Manifest, RefusesWhatIsNoManifest) {
  for (const char* text : {"", "null", "[]", "{", "{}x", "\"a\"", "{\"a\":1,\"a\":2}"}) {
    EXPECT_FALSE(ParseManifest(text).ok()) << text;
  }
  EXPECT_EQ(FaultOf(Edited("\"epoch\": 1", "\"epoch\": 1, \"epoch\": 1")), "manifest");
  EXPECT_EQ(FaultOf(std::string(100'000, '[')), "manifest");
  EXPECT_EQ(ParseManifest(std::string(2 << 20, ' ')).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(Manifest, FileNamesAreSafeInPaths) {
  for (const char* name : {"", ".", "..", "a/b", "A", "manifest.json", "a b", "\n"}) {
    EXPECT_FALSE(IsFileName(name)) << name;
  }
  EXPECT_FALSE(IsFileName(std::string(64, 'a')));
  EXPECT_TRUE(IsFileName("model.safetensors"));
}

}  // namespace
}  // namespace bsnn::artifact
