#include "spec/packed_spec.h"

#include <absl/strings/escaping.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <set>

#include "base/tagged_fields.h"
#include "spec/field_table.h"

namespace bsnn::spec {
namespace {

using testing::HasSubstr;

std::string Hex(const std::string& bytes) { return absl::BytesToHexString(bytes); }

std::string MessageOf(std::string_view bytes) {
  const auto spec = Unpack(bytes);
  EXPECT_FALSE(spec.ok());
  return std::string(spec.status().message());
}

/// Another value of the field than its default.
void Change(JobSpec& spec, const Field& field) {
  switch (field.kind) {
    case FieldKind::kChoice: {
      const auto last = static_cast<int32_t>(field.words.size()) - 1;
      SetMember(spec, field, GetMember<int32_t>(spec, field) == last ? 0 : last);
      break;
    }
    case FieldKind::kInteger:
      SetMember(spec, field, GetMember<int32_t>(spec, field) + 1);
      break;
    case FieldKind::kNumber:
      SetMember(spec, field, GetMember<double>(spec, field) + 0.1);
      break;
    case FieldKind::kFlag:
      SetMember(spec, field, !GetMember<bool>(spec, field));
  }
}

TEST(PackedSpec, DefaultsTakeOneByte) {
  EXPECT_EQ(Hex(Pack(JobSpec())), "01");
  EXPECT_EQ(CanonicalText(*Unpack("\1")), CanonicalText(JobSpec()));
}

TEST(PackedSpec, HasTheseBytes) {
  JobSpec spec;
  spec.network.kind = NetworkKind::kSnn;
  spec.network.time_steps = 4;
  spec.neuron.decay = 0.25;
  spec.neuron.detach_reset = true;
  spec.scheduling.priority = -7;
  EXPECT_EQ(Hex(Pack(spec)),
            "01"
            "0804"
            "0c08"
            "15000000000000d03f"
            "2002"
            "a4020d");
}

TEST(PackedSpec, KeepsEveryFieldAloneAndAllTogether) {
  JobSpec all;
  for (const Field& field : FieldTable()) {
    JobSpec one;
    Change(one, field);
    Change(all, field);
    const std::string bytes = Pack(one);
    EXPECT_LE(bytes.size(), 11U) << field.path;
    const auto read = Unpack(bytes);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(CanonicalText(*read), CanonicalText(one)) << field.path;
  }
  EXPECT_EQ(CanonicalText(*Unpack(Pack(all))), CanonicalText(all));
}

// Where this fails, the store's meaning changed. A new field is a new line. A changed default or a
// removed word makes specs that are kept mean something else: raise kPackedVersion, and keep the
// defaults of the old version for reading.
TEST(PackedSpec, NumbersWordsAndDefaultsAreFrozen) {
  std::ifstream golden(std::string(BSNN_ROOT) + "/tests/libs/spec/packed_spec_fields.txt");
  std::set<std::string> expected;
  for (std::string line; std::getline(golden, line);) expected.insert(line);
  ASSERT_FALSE(expected.empty());
  std::set<std::string> found;
  std::set<uint32_t> numbers;
  const auto descriptions = DescribeFields();
  for (size_t i = 0; i < FieldTable().size(); ++i) {
    const Field& field = FieldTable()[i];
    const uint32_t number = FieldNumberOf(field.path);
    EXPECT_TRUE(numbers.insert(number).second) << field.path << " has the number of another";
    std::string words;
    for (const auto word : field.words) words += fmt::format(" {}", word);
    found.insert(fmt::format("{:03} {} {}{}", number, field.path, descriptions[i].default_value,
                             words.empty() ? "" : ":" + words));
  }
  EXPECT_EQ(found, expected);
}

TEST(PackedSpec, SaysWhatItCannotRead) {
  EXPECT_THAT(MessageOf(""), HasSubstr("empty"));
  EXPECT_THAT(MessageOf("\2"), HasSubstr("version 2"));
  std::string bytes = "\1";
  base::TaggedWriter(bytes).Integer(999, 1);
  EXPECT_THAT(MessageOf(bytes), HasSubstr("field number 999"));
  bytes = "\1";
  base::TaggedWriter(bytes).Integer(FieldNumberOf("network.kind"), 3);
  EXPECT_THAT(MessageOf(bytes), HasSubstr("network.kind is 3"));
  bytes = "\1";
  base::TaggedWriter(bytes).Number(FieldNumberOf("network.kind"), 1);
  EXPECT_THAT(MessageOf(bytes), HasSubstr("another kind"));
  EXPECT_THAT(MessageOf(std::string_view("\1\x15\0\0", 4)), HasSubstr("broken"));
}

TEST(PackedSpec, HasOneFormOnly) {
  const uint32_t steps = FieldNumberOf("network.time_steps");
  std::string written_default = "\1";
  base::TaggedWriter(written_default).Integer(steps, 2);
  EXPECT_THAT(MessageOf(written_default), HasSubstr("one form"));
  std::string twice = "\1";
  base::TaggedWriter writer(twice);
  writer.Integer(steps, 4);
  writer.Integer(steps, 4);
  EXPECT_THAT(MessageOf(twice), HasSubstr("one form"));
  EXPECT_THAT(MessageOf("\1\x0c\x88\x00"), HasSubstr("broken")) << "a long varint, cut";
}

}  // namespace
}  // namespace bsnn::spec
