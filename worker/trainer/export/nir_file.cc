// The layout of nir.write: /version, and /node with type, nodes/NAME, edges and metadata. Arrays
// are compressed, so that the constant ones of neurons weigh nothing. HDF5 is the C library; it
// keeps no times, so that equal graphs have equal bytes, and works in memory, so that no half file
// is seen.
#include "worker/trainer/export/nir_graph.h"

#ifdef BSNN_HDF5

#include <absl/strings/str_cat.h>
#include <hdf5.h>

#include "base/status.h"

namespace bsnn::trainer {
namespace {

constexpr char kNirVersion[] = "1.0.8";
constexpr unsigned kCompression = 4;
constexpr size_t kGrowBytes = 1 << 20;

/// An identifier of HDF5's and how to close it.
class Handle {
 public:
  Handle(hid_t id, herr_t (*close)(hid_t)) : id_(id), close_(close) {}
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() {
    if (id_ >= 0) close_(id_);
  }
  hid_t get() const { return id_; }
  bool ok() const { return id_ >= 0; }

 private:
  const hid_t id_;
  herr_t (*const close_)(hid_t);
};

absl::Status Failed(const std::string& what) {
  return absl::InternalError(absl::StrCat("HDF5 cannot write ", what));
}

absl::Status WriteArray(hid_t group, const std::string& name, const std::vector<hsize_t>& shape,
                        hid_t type, const void* values) {
  const Handle space(shape.empty()
                         ? H5Screate(H5S_SCALAR)
                         : H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr),
                     H5Sclose);
  const Handle creation(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  herr_t set = H5Pset_obj_track_times(creation.get(), false);
  if (!shape.empty() && H5Tis_variable_str(type) <= 0) {
    set = std::min(set, H5Pset_chunk(creation.get(), static_cast<int>(shape.size()), shape.data()));
    set = std::min(set, H5Pset_deflate(creation.get(), kCompression));
  }
  const Handle set_handle(
      H5Dcreate2(group, name.c_str(), type, space.get(), H5P_DEFAULT, creation.get(), H5P_DEFAULT),
      H5Dclose);
  if (set < 0 || !set_handle.ok() ||
      H5Dwrite(set_handle.get(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0) {
    return Failed(name);
  }
  return absl::OkStatus();
}

absl::Status WriteTexts(hid_t group, const std::string& name, const std::vector<hsize_t>& shape,
                        const std::vector<const char*>& texts) {
  const Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  if (H5Tset_size(type.get(), H5T_VARIABLE) < 0 || H5Tset_cset(type.get(), H5T_CSET_UTF8) < 0) {
    return Failed(name);
  }
  return WriteArray(group, name, shape, type.get(), texts.data());
}

struct ValueWriter {
  hid_t group;
  const std::string& name;

  absl::Status operator()(int64_t value) const {
    return WriteArray(group, name, {}, H5T_NATIVE_INT64, &value);
  }
  absl::Status operator()(double value) const {
    return WriteArray(group, name, {}, H5T_NATIVE_DOUBLE, &value);
  }
  absl::Status operator()(const std::string& value) const {
    return WriteTexts(group, name, {}, {value.c_str()});
  }
  absl::Status operator()(const std::vector<int64_t>& values) const {
    return WriteArray(group, name, {values.size()}, H5T_NATIVE_INT64, values.data());
  }
  absl::Status operator()(const NirFloats& array) const {
    return WriteArray(group, name, {array.shape.begin(), array.shape.end()}, H5T_NATIVE_FLOAT,
                      array.values.data());
  }
};

absl::Status WriteValue(hid_t group, const std::string& name, const NirValue& value) {
  return std::visit(ValueWriter{group, name}, value);
}

absl::Status WriteFields(hid_t group, const NirFields& fields) {
  for (const auto& [name, value] : fields) RETURN_IF_ERROR(WriteValue(group, name, value));
  return absl::OkStatus();
}

hid_t MakeGroup(hid_t parent, const std::string& name) {
  return H5Gcreate2(parent, name.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
}

absl::Status WriteNode(hid_t parent, const NirNode& node) {
  const Handle group(MakeGroup(parent, node.name), H5Gclose);
  if (!group.ok()) return Failed(node.name);
  RETURN_IF_ERROR(WriteValue(group.get(), "type", node.type));
  return WriteFields(group.get(), node.fields);
}

absl::Status WriteGraph(hid_t file, const NirGraph& graph) {
  RETURN_IF_ERROR(WriteValue(file, "version", std::string(kNirVersion)));
  const Handle root(MakeGroup(file, "node"), H5Gclose);
  const Handle nodes(MakeGroup(root.get(), "nodes"), H5Gclose);
  const Handle metadata(MakeGroup(root.get(), "metadata"), H5Gclose);
  if (!root.ok() || !nodes.ok() || !metadata.ok()) return Failed("the groups");
  RETURN_IF_ERROR(WriteValue(root.get(), "type", std::string("NIRGraph")));
  for (const NirNode& node : graph.nodes) RETURN_IF_ERROR(WriteNode(nodes.get(), node));
  std::vector<const char*> ends;
  for (const auto& [from, to] : graph.edges) {
    ends.push_back(from.c_str());
    ends.push_back(to.c_str());
  }
  RETURN_IF_ERROR(WriteTexts(root.get(), "edges", {graph.edges.size(), 2}, ends));
  return WriteFields(metadata.get(), graph.metadata);
}

}  // namespace

absl::StatusOr<std::string> ToNirFile(const NirGraph& graph) {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);  // errors are told by status, not printed
  const Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  if (H5Pset_fapl_core(access.get(), kGrowBytes, /*backing_store=*/false) < 0) {
    return Failed("in memory");
  }
  const Handle file(H5Fcreate("nir", H5F_ACC_TRUNC, H5P_DEFAULT, access.get()), H5Fclose);
  if (!file.ok()) return Failed("in memory");
  RETURN_IF_ERROR(WriteGraph(file.get(), graph));
  if (H5Fflush(file.get(), H5F_SCOPE_GLOBAL) < 0) return Failed("the file");
  const ssize_t size = H5Fget_file_image(file.get(), nullptr, 0);
  if (size <= 0) return Failed("the file");
  std::string bytes(static_cast<size_t>(size), '\0');
  if (H5Fget_file_image(file.get(), bytes.data(), bytes.size()) != size) return Failed("the file");
  return bytes;
}

}  // namespace bsnn::trainer

#else

namespace bsnn::trainer {

absl::StatusOr<std::string> ToNirFile(const NirGraph&) {
  return absl::UnimplementedError(
      "this build of bsnn-train writes no NIR: it was configured without HDF5 (Debian's "
      "libhdf5-dev)");
}

}  // namespace bsnn::trainer

#endif
