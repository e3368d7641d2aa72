# Precompiled headers: one for each kind of target, made once and used by all targets of the kind. The
# kinds are the files of cmake/pch. Presets of g++ have them; the presets of clang, and a build without
# BSNN_PCH, hold every source to including what it uses.
option(BSNN_PCH "Precompile the headers that most sources include" OFF)

# The owner of a kind's header, with the outside packages that the header includes.
function(_bsnn_pch_owner kind)
  add_library(bsnn_pch_${kind} OBJECT EXCLUDE_FROM_ALL ${PROJECT_SOURCE_DIR}/cmake/pch/empty.cc)
  target_link_libraries(bsnn_pch_${kind} PUBLIC
    bsnn_options absl::status absl::statusor absl::synchronization absl::time ${ARGN})
  target_precompile_headers(bsnn_pch_${kind} PRIVATE <cmake/pch/${kind}.h>)
  set(launcher ${PROJECT_SOURCE_DIR}/cmake/pch/compile ${CMAKE_CXX_COMPILER_LAUNCHER})
  set_target_properties(bsnn_pch_${kind} PROPERTIES CXX_COMPILER_LAUNCHER "${launcher}")
endfunction()

if(BSNN_PCH)
  _bsnn_pch_owner(base fmt::fmt)
  if(BSNN_TESTS)
    _bsnn_pch_owner(test fmt::fmt GTest::gmock)
  endif()
  if(BSNN_SERVICE)
    _bsnn_pch_owner(rpc fmt::fmt bsnn_proto)
    if(BSNN_TESTS)
      _bsnn_pch_owner(rpc_test fmt::fmt bsnn_proto GTest::gmock)
    endif()
  endif()
  if(BSNN_TRAINER)
    _bsnn_pch_owner(torch bsnn_torch)
    _bsnn_pch_owner(torch_test bsnn_torch GTest::gmock)
    foreach(kind torch torch_test)
      target_compile_definitions(bsnn_pch_${kind} PUBLIC FMT_HEADER_ONLY)
      set_target_properties(bsnn_pch_${kind} PROPERTIES JOB_POOL_COMPILE torch)
    endforeach()
  endif()
endif()

# bsnn_precompile(target kind): g++ takes a header only where its macros are defined alike, so the
# definitions of its packages come along.
function(bsnn_precompile target kind)
  if(NOT BSNN_PCH)
    return()
  endif()
  target_precompile_headers(${target} REUSE_FROM bsnn_pch_${kind})
  target_compile_definitions(${target} PRIVATE
    $<TARGET_PROPERTY:bsnn_pch_${kind},INTERFACE_COMPILE_DEFINITIONS>)
  target_include_directories(${target} SYSTEM PRIVATE
    $<TARGET_PROPERTY:bsnn_pch_${kind},INTERFACE_SYSTEM_INCLUDE_DIRECTORIES>)
  # ccache takes a precompiled header only with CCACHE_SLOPPINESS=pch_defines,time_macros in the environment
  # (tests/run, deploy/quickstart), and g++ has to say that it used one.
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fpch-preprocess>)
  endif()
endfunction()

# The kind that a target needs: by LibTorch, by the layers it links, and whether it is a test.
function(bsnn_precompile_by_layers target is_test is_torch)
  set(kind base)
  if(is_torch)
    set(kind torch)
  elseif("${ARGN}" MATCHES "proto|wire|server_api|server_root|client|worker_root|worker_session")
    set(kind rpc)
  endif()
  if(is_test AND kind STREQUAL base)
    set(kind test)
  elseif(is_test)
    string(APPEND kind _test)
  endif()
  bsnn_precompile(${target} ${kind})
endfunction()
