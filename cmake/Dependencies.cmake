# Every outside package. All come from Debian 12 except LibTorch, which comes from the PyTorch wheel
# (deploy/install-dependencies) or from the user's own copy through CMAKE_PREFIX_PATH.

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(absl REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_package(ZLIB REQUIRED)
find_package(JPEG REQUIRED)
find_package(PNG REQUIRED)
find_package(CLI11 REQUIRED)

if(BSNN_SERVICE)
  # By pkg-config: find_package(Protobuf) would meet the old protobuf headers of the PyTorch wheel.
  pkg_check_modules(PROTOBUF REQUIRED IMPORTED_TARGET protobuf>=3.21)
  find_program(PROTOC protoc REQUIRED NO_CMAKE_PATH NO_CMAKE_ENVIRONMENT_PATH)  # the wheel has one too
  pkg_check_modules(GRPC REQUIRED IMPORTED_TARGET grpc++)
  find_library(GRPC_REFLECTION_LIBRARY grpc++_reflection REQUIRED)
  find_program(GRPC_CPP_PLUGIN grpc_cpp_plugin REQUIRED)
  pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3)
  pkg_check_modules(PROMETHEUS REQUIRED IMPORTED_TARGET prometheus-cpp-core prometheus-cpp-pull)
  pkg_check_modules(ISAL REQUIRED IMPORTED_TARGET libisal)
  find_package(yaml-cpp REQUIRED)
endif()

if(BSNN_TRAINER)
  find_package(Torch 2.11 REQUIRED)
  # An imported target, so that torch's headers are system headers and its flags reach only the trainer.
  add_library(bsnn_torch INTERFACE)
  target_link_libraries(bsnn_torch INTERFACE ${TORCH_LIBRARIES})
  target_include_directories(bsnn_torch SYSTEM INTERFACE ${TORCH_INCLUDE_DIRS})
  separate_arguments(torch_flags NATIVE_COMMAND "${TORCH_CXX_FLAGS}")
  target_compile_options(bsnn_torch INTERFACE ${torch_flags})
  # at::parallel_for is a template: without OpenMP where it is used it runs on one thread, silently. Not
  # with clang (a second OpenMP runtime beside LibTorch's libgomp) nor TSan (libgomp is not instrumented).
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND NOT BSNN_SANITIZE STREQUAL "thread")
    target_compile_options(bsnn_torch INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fopenmp>)
    target_link_libraries(bsnn_torch INTERFACE gomp)  # at run time LibTorch's own, of the same name
  endif()
  pkg_check_modules(HDF5 IMPORTED_TARGET hdf5)  # optional: bsnn-train --export nir
  find_path(GLOO_INCLUDE_DIR gloo/transport/device.h)  # optional: ranks; the library is LibTorch's own
  # A LibTorch with CUDA has found nvcc by now, and set its flags from TORCH_CUDA_ARCH_LIST.
  if(TORCH_CUDA_LIBRARIES)
    set(BSNN_CUDA ON)
    set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)  # LibTorch's, not a second one
  endif()
endif()

if(BSNN_TESTS)
  find_package(GTest REQUIRED)
endif()
