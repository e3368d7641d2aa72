# Compiler warnings (as errors), ccache, sanitizers, and a job pool that keeps LibTorch sources from
# filling the memory. All first-party targets link bsnn_options.

add_library(bsnn_options INTERFACE)
target_compile_options(bsnn_options INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wno-missing-field-initializers
                       -Wold-style-cast -Woverloaded-virtual -Wimplicit-fallthrough -Werror)
if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
  target_compile_options(bsnn_options INTERFACE -Wthread-safety)
else()
  # g++ 12 reports these falsely inside libstdc++ and absl at -O2.
  target_compile_options(bsnn_options INTERFACE -Wno-maybe-uninitialized -Wno-restrict
                         -Wno-array-bounds -Wno-stringop-overflow -Wno-dangling-pointer)
endif()
target_include_directories(bsnn_options INTERFACE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/libs)

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()

if(BSNN_SANITIZE STREQUAL "address")
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
elseif(BSNN_SANITIZE STREQUAL "thread")
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer)
  add_link_options(-fsanitize=thread)
elseif(BSNN_SANITIZE STREQUAL "fuzzer")  # clang
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
elseif(BSNN_SANITIZE)
  message(FATAL_ERROR "BSNN_SANITIZE is '${BSNN_SANITIZE}'; allowed: address, thread, fuzzer, or empty")
endif()

# A LibTorch source needs about 1 GB while it compiles: at most one for each 2 GiB of memory.
cmake_host_system_information(RESULT memory_mib QUERY TOTAL_PHYSICAL_MEMORY)
cmake_host_system_information(RESULT cores QUERY NUMBER_OF_LOGICAL_CORES)
math(EXPR torch_jobs "${memory_mib} / 2048")
if(torch_jobs LESS 1)
  set(torch_jobs 1)
elseif(torch_jobs GREATER cores)
  set(torch_jobs ${cores})
endif()
set_property(GLOBAL PROPERTY JOB_POOLS torch=${torch_jobs})
