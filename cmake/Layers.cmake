# The dependency table: which first-party target may link which. Checked here when CMake configures,
# and by tests/tidy on the includes. Changing the table needs a record in docs/decisions.
#
# A library is named by its folder, '/' as '_': libs/base is bsnn_base, server/scheduler is
# bsnn_server_scheduler.

set(BSNN_MAY_USE_base "")
set(BSNN_MAY_USE_spec base)
set(BSNN_MAY_USE_artifact base)
set(BSNN_MAY_USE_blob artifact base)
set(BSNN_MAY_USE_proto "")
set(BSNN_MAY_USE_wire proto spec base)

set(BSNN_MAY_USE_server_store spec base)
set(BSNN_MAY_USE_server_store_sqlite server_store spec base)
set(BSNN_MAY_USE_server_store_memory server_store spec base)
set(BSNN_MAY_USE_server_cluster server_store spec base)
set(BSNN_MAY_USE_server_policy spec base)
set(BSNN_MAY_USE_server_commands server_cluster server_policy server_store spec base)
set(BSNN_MAY_USE_server_scheduler server_commands server_cluster server_policy server_telemetry
    server_store spec base)
set(BSNN_MAY_USE_server_telemetry server_store spec base)
set(BSNN_MAY_USE_server_metrics server_scheduler server_commands server_cluster server_telemetry
    server_store spec base)
set(BSNN_MAY_USE_server_api server_scheduler server_commands server_cluster server_store blob wire proto artifact spec base)
set(BSNN_MAY_USE_server_config base)
set(BSNN_MAY_USE_server_root server_api server_metrics server_scheduler server_telemetry server_store
    server_store_sqlite server_config blob wire proto artifact spec base)

set(BSNN_MAY_USE_worker_agent spec base)
set(BSNN_MAY_USE_worker_launcher worker_agent spec base)
set(BSNN_MAY_USE_worker_device worker_agent base)
set(BSNN_MAY_USE_worker_session worker_agent wire proto artifact spec base)
set(BSNN_MAY_USE_worker_config base)
set(BSNN_MAY_USE_worker_root worker_agent worker_launcher worker_device worker_session worker_config
    wire proto artifact spec base)

# Readers and loader of data, free of LibTorch: sanitizers and fuzzing build them without it.
set(BSNN_MAY_USE_worker_trainer_data artifact spec base)
set(BSNN_MAY_USE_worker_trainer worker_trainer_data spec artifact base)

set(BSNN_MAY_USE_client_sdk wire proto artifact spec base)
set(BSNN_MAY_USE_client_root client_sdk wire proto artifact spec base)

function(_bsnn_check_layers name)
  if(NOT DEFINED BSNN_MAY_USE_${name})
    message(FATAL_ERROR "cmake/Layers.cmake has no row for '${name}'")
  endif()
  foreach(dependency IN LISTS ARGN)
    if(NOT dependency IN_LIST BSNN_MAY_USE_${name})
      message(FATAL_ERROR "Layers: '${name}' must not use '${dependency}' (cmake/Layers.cmake)")
    endif()
  endforeach()
endfunction()

function(_bsnn_wire target name)
  cmake_parse_arguments(PARSE_ARGV 2 A "TORCH" "" "SOURCES;USES;PUBLIC;PRIVATE")
  _bsnn_check_layers(${name} ${A_USES})
  list(TRANSFORM A_USES PREPEND bsnn_)
  target_link_libraries(${target} PUBLIC bsnn_options ${A_USES} ${A_PUBLIC} PRIVATE ${A_PRIVATE})
  if(A_TORCH)
    target_link_libraries(${target} PUBLIC bsnn_torch)
    set_target_properties(${target} PROPERTIES JOB_POOL_COMPILE torch)
  endif()
  bsnn_precompile_by_layers(${target} FALSE "${A_TORCH}" ${A_USES} ${A_PRIVATE})
endfunction()

# bsnn_library(name SOURCES a.cc USES base spec PUBLIC absl::status PRIVATE fmt::fmt [TORCH])
# USES names first-party layers, checked against the table; PUBLIC and PRIVATE name outside packages.
function(bsnn_library name)
  cmake_parse_arguments(PARSE_ARGV 1 A "TORCH" "" "SOURCES;USES;PUBLIC;PRIVATE")
  add_library(bsnn_${name} STATIC ${A_SOURCES})
  _bsnn_wire(bsnn_${name} ${name} ${ARGN})
endfunction()

# bsnn_program(bsnn-worker LAYER worker_root SOURCES main.cc USES worker_agent ...)
function(bsnn_program program)
  cmake_parse_arguments(PARSE_ARGV 1 A "TORCH" "LAYER" "SOURCES;USES;PUBLIC;PRIVATE")
  add_executable(${program} ${A_SOURCES})
  _bsnn_wire(${program} ${A_LAYER} ${ARGN})
endfunction()

# bsnn_test(scheduler_test SOURCES a_test.cc LINK bsnn_server_scheduler [LABELS slow])
# One GoogleTest program; each of its tests is a CTest test named <program>.<Suite>.<Test>.
function(bsnn_test name)
  cmake_parse_arguments(PARSE_ARGV 1 A "" "TIMEOUT" "SOURCES;LINK;LABELS")
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 240)
  endif()
  add_executable(${name} ${A_SOURCES})
  target_link_libraries(${name} PRIVATE bsnn_options ${A_LINK} GTest::gmock GTest::gtest_main)
  set(is_torch FALSE)
  if("bsnn_worker_trainer" IN_LIST A_LINK)
    set(is_torch TRUE)
    set_target_properties(${name} PROPERTIES JOB_POOL_COMPILE torch)
  endif()
  if(is_torch)  # its threads want the processors: not two at a time
    set(processors 2)
  else()
    set(processors 1)
  endif()
  bsnn_precompile_by_layers(${name} TRUE ${is_torch} ${A_LINK})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/bin)
  add_test(NAME ${name} COMMAND ${name} --gtest_brief=1)
  set_tests_properties(${name} PROPERTIES TIMEOUT ${A_TIMEOUT} LABELS "${A_LABELS}"
                       PROCESSORS ${processors})
endfunction()
