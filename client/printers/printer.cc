#include "client/printers/printer.h"

#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace bsnn::client {
namespace {

using Json = nlohmann::ordered_json;

void Emit(const Json& json, YAML::Emitter& out) {
  if (json.is_object()) {
    out << YAML::BeginMap;
    for (const auto& [key, value] : json.items()) {
      out << YAML::Key << key << YAML::Value;
      Emit(value, out);
    }
    out << YAML::EndMap;
  } else if (json.is_array()) {
    out << YAML::BeginSeq;
    for (const Json& value : json) Emit(value, out);
    out << YAML::EndSeq;
  } else if (json.is_string()) {
    out << YAML::DoubleQuoted << json.get<std::string>() << YAML::Auto;
  } else {
    out << json.dump();
  }
}

size_t CharactersOf(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string Pad(const std::string& text, size_t width, bool right) {
  const size_t have = CharactersOf(text);
  const std::string spaces(width > have ? width - have : 0, ' ');
  return right ? spaces + text : text + spaces;
}

}  // namespace

std::string PrintMessage(const google::protobuf::Message& message, Format format) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string text;
  if (!google::protobuf::util::MessageToJsonString(message, &text, options).ok()) return "{}\n";
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (format != Format::kYaml) return json.dump(2) + "\n";
  YAML::Emitter out;
  Emit(json, out);
  return std::string(out.c_str()) + "\n";
}

std::string PrintTable(const std::vector<std::string>& header,
                       const std::vector<std::vector<std::string>>& rows) {
  const size_t columns = header.size();
  std::vector<std::string> titles = header;
  std::vector<bool> right(columns);
  std::vector<size_t> widths(columns);
  for (size_t i = 0; i < columns; ++i) {
    right[i] = titles[i].starts_with('>');
    if (right[i]) titles[i].erase(0, 1);
    widths[i] = CharactersOf(titles[i]);
    for (const auto& row : rows) widths[i] = std::max(widths[i], CharactersOf(row.at(i)));
  }
  std::string text;
  const auto add = [&](const std::vector<std::string>& cells) {
    std::string line;
    for (size_t i = 0; i < columns; ++i) {
      line += Pad(cells.at(i), widths[i], right[i]) + (i + 1 < columns ? "  " : "");
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  };
  add(titles);
  for (const auto& row : rows) add(row);
  return text;
}

std::string PrintCurve(const std::vector<double>& values, size_t width_max) {
  static constexpr std::array<const char*, 8> kBlocks = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  const size_t width = std::min(values.size(), width_max);
  std::vector<double> cells(width);
  for (size_t i = 0; i < width; ++i) {
    const size_t begin = i * values.size() / width, end = (i + 1) * values.size() / width;
    double sum = 0;
    for (size_t j = begin; j < end; ++j) sum += values[j];
    cells[i] = sum / static_cast<double>(end - begin);
  }
  double low = INFINITY, high = -INFINITY;
  for (const double cell : cells) {
    if (!std::isfinite(cell)) continue;
    low = std::min(low, cell);
    high = std::max(high, cell);
  }
  std::string text;
  for (const double cell : cells) {
    if (!std::isfinite(cell)) {
      text += '?';
      continue;
    }
    const double share = high > low ? (cell - low) / (high - low) : 0.5;
    text += kBlocks.at(static_cast<size_t>(std::lround(share * (kBlocks.size() - 1))));
  }
  return text;
}

std::string PrintBar(double ratio, int width) {
  ratio = std::isfinite(ratio) ? std::clamp(ratio, 0.0, 1.0) : 0;
  const auto filled = static_cast<int>(ratio * width);
  std::string bar;
  for (int i = 0; i < width; ++i) bar += i < filled ? "█" : "░";
  return fmt::format("{} {:5.1f} %", bar, 100 * ratio);
}

std::string PrintDuration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0 || seconds > 1e9) return "-";
  const auto whole = static_cast<int64_t>(std::lround(seconds));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole / 60 % 60);
}

std::string PrintAge(const google::protobuf::Timestamp& time, absl::Time now) {
  if (time.seconds() == 0) return "-";
  return PrintDuration(
      std::max(0.0, absl::ToDoubleSeconds(now - absl::FromUnixSeconds(time.seconds()))));
}

std::string PrintBytes(int64_t bytes) {
  if (bytes < 1024) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes);
  const char* unit = "B";
  for (const char* next : {"KiB", "MiB", "GiB", "TiB"}) {
    if (value < 1024) break;
    value /= 1024;
    unit = next;
  }
  return fmt::format("{:.1f} {}", value, unit);
}

std::string PrintRatio(double ratio) {
  return std::isnan(ratio) ? "-" : fmt::format("{:.2f} %", 100 * ratio);
}

std::string PrintNumber(double value) { return fmt::format("{}", value); }

std::string PrintState(const std::string& enum_name) {
  std::string text = enum_name;
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return text;
}

}  // namespace bsnn::client
