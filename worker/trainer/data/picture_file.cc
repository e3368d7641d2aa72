#include "worker/trainer/data/picture_file.h"

#include <fmt/format.h>
#include <jerror.h>
#include <jpeglib.h>
#include <png.h>

#include <array>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <string>

namespace bsnn::trainer {
namespace {

constexpr int kScansMax = 500;  // of a progressive JPEG: each costs a pass over the picture
constexpr int64_t kJpegBytesMax = int64_t{512} << 20;

absl::Status Fault(size_t offset, std::string_view what) {
  return absl::DataLossError(fmt::format("offset {}: {}", offset, what));
}

absl::Status CheckSize(size_t offset, int64_t width, int64_t height, int64_t pixels_max) {
  if (width * height <= pixels_max) return absl::OkStatus();
  return Fault(offset, fmt::format("the picture has {}x{} pixels (allowed: at most {})", width,
                                   height, pixels_max));
}

/// libjpeg with its errors. What it calls jumps back into the member function that called it:
/// between setjmp and longjmp nothing lives that has a destructor.
class JpegReader {
 public:
  explicit JpegReader(std::string_view content) : content_(content) {
    info_.err = jpeg_std_error(&errors_);
    errors_.error_exit = [](j_common_ptr info) { Jump(info); };
    // A file that ends early would be filled up with grey. Other warnings are of small damage.
    errors_.emit_message = [](j_common_ptr info, int level) {
      if (level < 0 && info->err->msg_code == JWRN_JPEG_EOF) Jump(info);
    };
    info_.client_data = this;
  }
  ~JpegReader() { jpeg_destroy_decompress(&info_); }
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;

  /// False: see fault().
  bool ReadHeader() {
    if (setjmp(jump_) != 0) return false;
    jpeg_create_decompress(&info_);
    info_.mem->max_memory_to_use = kJpegBytesMax;
    progress_.progress_monitor = [](j_common_ptr info) {
      if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number <= kScansMax) return;
      std::snprintf(Of(info).message_.data(), JMSG_LENGTH_MAX, "more than %d scans", kScansMax);
      std::longjmp(Of(info).jump_, 1);
    };
    info_.progress = &progress_;
    jpeg_mem_src(&info_, reinterpret_cast<const unsigned char*>(content_.data()), content_.size());
    jpeg_read_header(&info_, TRUE);
    is_cmyk_ = info_.jpeg_color_space == JCS_CMYK || info_.jpeg_color_space == JCS_YCCK;
    info_.out_color_space = is_cmyk_ ? JCS_CMYK : JCS_RGB;
    return true;
  }

  int64_t width() const { return info_.image_width; }
  int64_t height() const { return info_.image_height; }
  size_t bytes_per_row() const {
    return static_cast<size_t>(info_.image_width) * (is_cmyk_ ? 4 : 3);
  }
  bool is_cmyk() const { return is_cmyk_; }

  /// `rows` holds height() rows.
  bool ReadRows(uint8_t* rows) {
    if (setjmp(jump_) != 0) return false;
    jpeg_start_decompress(&info_);
    while (info_.output_scanline < info_.output_height) {
      JSAMPROW row = rows + info_.output_scanline * bytes_per_row();
      jpeg_read_scanlines(&info_, &row, 1);
    }
    jpeg_finish_decompress(&info_);
    return true;
  }

  size_t offset() const {
    return info_.src == nullptr ? 0 : content_.size() - info_.src->bytes_in_buffer;
  }
  absl::Status fault() const { return Fault(ended_ ? content_.size() : offset(), message_.data()); }

 private:
  static JpegReader& Of(j_common_ptr info) { return *static_cast<JpegReader*>(info->client_data); }
  [[noreturn]] static void Jump(j_common_ptr info) {
    JpegReader& reader = Of(info);
    reader.ended_ = info->err->msg_code == JWRN_JPEG_EOF;  // it reads an end mark it made up
    info->err->format_message(info, reader.message_.data());
    std::longjmp(reader.jump_, 1);
  }

  std::string_view content_;
  jpeg_decompress_struct info_{};
  jpeg_error_mgr errors_{};
  jpeg_progress_mgr progress_{};
  std::jmp_buf jump_{};
  std::array<char, JMSG_LENGTH_MAX> message_{};
  bool is_cmyk_ = false;
  bool ended_ = false;
};

/// As Pillow: the file holds inverted ink (Adobe's way), and black covers.
void CmykToRgb(const std::vector<uint8_t>& cmyk, std::vector<uint8_t>& rgb) {
  for (size_t i = 0; i < cmyk.size() / 4; ++i) {
    const int light = cmyk[4 * i + 3];
    for (size_t c = 0; c < 3; ++c) {
      const int product = (255 - cmyk[4 * i + c]) * light + 128;
      rgb[3 * i + c] = static_cast<uint8_t>(light - ((product >> 8) + product) / 256);
    }
  }
}

absl::StatusOr<RgbPicture> DecodeJpeg(std::string_view content, int64_t pixels_max) {
  JpegReader reader(content);
  if (!reader.ReadHeader()) return reader.fault();
  RgbPicture picture{.height = reader.height(), .width = reader.width(), .pixels = {}};
  const absl::Status size = CheckSize(reader.offset(), picture.width, picture.height, pixels_max);
  if (!size.ok()) return size;
  picture.pixels.resize(static_cast<size_t>(picture.height * picture.width) * 3);
  std::vector<uint8_t> cmyk;
  if (reader.is_cmyk()) cmyk.resize(static_cast<size_t>(picture.height) * reader.bytes_per_row());
  if (!reader.ReadRows(reader.is_cmyk() ? cmyk.data() : picture.pixels.data())) {
    return reader.fault();
  }
  if (reader.is_cmyk()) CmykToRgb(cmyk, picture.pixels);
  return picture;
}

/// libpng with its errors; the same rule as for JpegReader.
class PngReader {
 public:
  explicit PngReader(std::string_view content) : content_(content) {
    png_ = png_create_read_struct(
        PNG_LIBPNG_VER_STRING, this,
        [](png_structp png, png_const_charp message) {
          auto* reader = static_cast<PngReader*>(png_get_error_ptr(png));
          std::strncpy(reader->message_.data(), message, reader->message_.size() - 1);
          png_longjmp(png, 1);
        },
        [](png_structp, png_const_charp) {});
    if (png_ != nullptr) info_ = png_create_info_struct(png_);
  }
  ~PngReader() { png_destroy_read_struct(&png_, &info_, nullptr); }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;

  bool ReadHeader() {
    if (info_ == nullptr) return false;
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_set_read_fn(png_, this, [](png_structp png, png_bytep to, size_t size) {
      auto* reader = static_cast<PngReader*>(png_get_io_ptr(png));
      if (reader->content_.size() - reader->at_ < size) png_error(png, "the file ends here");
      std::memcpy(to, reader->content_.data() + reader->at_, size);
      reader->at_ += size;
    });
    png_read_info(png_, info_);
    return true;
  }

  int64_t width() const { return png_get_image_width(png_, info_); }
  int64_t height() const { return png_get_image_height(png_, info_); }

  /// `rows` holds height() rows of 3 width() bytes.
  bool ReadRows(uint8_t* rows) {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_set_expand(png_);
    png_set_strip_16(png_);
    png_set_strip_alpha(png_);
    png_set_gray_to_rgb(png_);
    passes_ = png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    if (png_get_rowbytes(png_, info_) != static_cast<size_t>(3 * width())) {
      png_error(png_, "rows are not of red, green and blue bytes");
    }
    for (; passes_ > 0; --passes_) {
      for (row_ = 0; row_ < height(); ++row_) {
        png_read_row(png_, rows + 3 * width() * row_, nullptr);
      }
    }
    png_read_end(png_, nullptr);
    return true;
  }

  size_t offset() const { return at_; }
  absl::Status fault() const { return Fault(at_, message_.data()); }

 private:
  std::string_view content_;
  size_t at_ = 0;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  int passes_ = 0;
  int64_t row_ = 0;
  std::array<char, 200> message_{};
};

absl::StatusOr<RgbPicture> DecodePng(std::string_view content, int64_t pixels_max) {
  PngReader reader(content);
  if (!reader.ReadHeader()) return reader.fault();
  RgbPicture picture{.height = reader.height(), .width = reader.width(), .pixels = {}};
  const absl::Status size = CheckSize(reader.offset(), picture.width, picture.height, pixels_max);
  if (!size.ok()) return size;
  picture.pixels.resize(static_cast<size_t>(picture.height * picture.width) * 3);
  if (!reader.ReadRows(picture.pixels.data())) return reader.fault();
  return picture;
}

}  // namespace

absl::StatusOr<RgbPicture> DecodePicture(std::string_view content, int64_t pixels_max) {
  if (content.starts_with("\xff\xd8")) return DecodeJpeg(content, pixels_max);
  if (content.starts_with("\x89PNG")) return DecodePng(content, pixels_max);
  return Fault(0, "neither JPEG (ff d8) nor PNG (89 50 4e 47)");
}

}  // namespace bsnn::trainer
