# One way to declare each kind of target, so that warnings, sanitizers and test labels are the same everywhere.
include(GoogleTest)

add_library(sealcast_options INTERFACE)
target_compile_options(sealcast_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Wcast-qual -Wformat=2 -Wundef -Werror
  # g++ 12 reports uninitialised members in every inlined move of a std::variant (GCC bug 105593 and similar).
  $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-maybe-uninitialized>
  $<$<COMPILE_LANG_AND_ID:CXX,Clang>:-Wno-gnu-zero-variadic-macro-arguments>)
if(CMAKE_UNITY_BUILD)
  # A class of a .cc file may use file-local types. In a unity build the compiler takes the file for a header and warns.
  # The dev preset still warns of real headers.
  target_compile_options(sealcast_options INTERFACE $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-subobject-linkage>)
endif()
target_include_directories(sealcast_options INTERFACE ${CMAKE_SOURCE_DIR})
if(SEALCAST_SANITIZE)
  target_compile_options(sealcast_options INTERFACE
    -fsanitize=${SEALCAST_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(sealcast_options INTERFACE -fsanitize=${SEALCAST_SANITIZE})
  if(SEALCAST_SANITIZE MATCHES address)
    # Each access is checked by a call instead of in line: a fifth less to compile, half of an unrolled kernel.
    target_compile_options(sealcast_options INTERFACE
      $<$<COMPILE_LANG_AND_ID:CXX,GNU>:--param=asan-instrumentation-with-call-threshold=0>)
  endif()
endif()
if(SEALCAST_FUZZ)
  target_compile_options(sealcast_options INTERFACE -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all)
  target_link_options(sealcast_options INTERFACE -fsanitize=address,undefined)
endif()

# sealcast_library(NAME SOURCES a.cc … DEPENDS dep::x other …): static library, target sealcast_NAME, alias sealcast::NAME
function(sealcast_library name)
  cmake_parse_arguments(A "" "" "SOURCES;DEPENDS;PRIVATE_DEPENDS" ${ARGN})
  if(A_SOURCES)
    add_library(sealcast_${name} STATIC ${A_SOURCES})
    target_link_libraries(sealcast_${name} PUBLIC sealcast_options ${A_DEPENDS} PRIVATE ${A_PRIVATE_DEPENDS})
  else()
    add_library(sealcast_${name} INTERFACE)
    target_link_libraries(sealcast_${name} INTERFACE sealcast_options ${A_DEPENDS})
  endif()
  add_library(sealcast::${name} ALIAS sealcast_${name})
endfunction()

# sealcast_wrappable(FILE…): never compiled together with others. The linker's --wrap, by which test programs replace some
# functions, sees only calls between objects.
function(sealcast_wrappable)
  set_source_files_properties(${ARGN} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
endfunction()

# sealcast_executable(NAME SOURCES … DEPENDS …): lands in build/<preset>/bin/
function(sealcast_executable name)
  cmake_parse_arguments(A "" "" "SOURCES;DEPENDS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  target_link_libraries(${name} PRIVATE sealcast_options ${A_DEPENDS})
endfunction()

# The programs that the tests of label "unit" start: the target unit_tests builds them, and no others.
add_custom_target(unit_tests)
function(sealcast_unit_tests_need)
  add_dependencies(unit_tests ${ARGN})
endfunction()

# The labels of a unit test that starts whole programs: under sanitizers it takes long, since no other test there needs
# these compiled.
set(sealcast_program_test_labels unit)
if(SEALCAST_SANITIZE)
  list(APPEND sealcast_program_test_labels long)
endif()

# sealcast_program_test(NAME TIMEOUT SECONDS COMMAND word … NEEDS target …): such a test, but no GoogleTest program.
function(sealcast_program_test name)
  cmake_parse_arguments(A "" "TIMEOUT" "COMMAND;NEEDS" ${ARGN})
  if(sealcast_program_test_labels STREQUAL "unit")
    sealcast_unit_tests_need(${A_NEEDS})
  endif()
  add_test(NAME ${name} COMMAND ${A_COMMAND})
  set_tests_properties(${name} PROPERTIES LABELS "${sealcast_program_test_labels}" TIMEOUT ${A_TIMEOUT})
endfunction()

# sealcast_laboratory_test(NAME TIMEOUT SECONDS COMMAND word … [LABELS e2e …] [ENVIRONMENT …] [LOCK word] [LONG]
# [ALONE]): a test that makes namespaces, maps hugepages and runs real programs; label "e2e" by default. Of those with
# the same LOCK ("laboratory" by default) one runs at a time, beside tests that need none of this. They begin first,
# because together they take longest. LONG adds the label "long": it runs only on request. ALONE: no other test runs
# meanwhile, because this one measures the machine's capacity or needs all of it.
function(sealcast_laboratory_test name)
  cmake_parse_arguments(A "LONG;ALONE" "TIMEOUT;LOCK" "COMMAND;LABELS;ENVIRONMENT" ${ARGN})
  if(NOT A_LABELS)
    set(A_LABELS e2e)
  endif()
  if(NOT A_LOCK)
    set(A_LOCK laboratory)
  endif()
  if(A_LONG)
    list(APPEND A_LABELS long)
  endif()
  add_test(NAME ${name} COMMAND ${A_COMMAND})
  set_tests_properties(${name} PROPERTIES LABELS "${A_LABELS}" TIMEOUT ${A_TIMEOUT} ENVIRONMENT "${A_ENVIRONMENT}"
    RESOURCE_LOCK ${A_LOCK} COST 1000)
  if(A_ALONE)
    set_tests_properties(${name} PROPERTIES RUN_SERIAL ON)
  endif()
endfunction()

# sealcast_test(NAME SOURCES … DEPENDS … [LABELS unit|root|virtio|interop|e2e] [ALONE FILTER] [SHARDS N] [LOCKS …]
#   [DEFINITIONS …] [ENVIRONMENT …] [NEEDS target …]): one GoogleTest program of a module; label "unit" by default.
# Unit tests need no root and no hugepages, finish in seconds and disturb no other test; of those with another label and
# of sealcast_laboratory_test's one runs at a time. Tests that match FILTER (GoogleTest's syntax) run while nothing else
# does, because a thread they wait for yields to all others; ALONE "*" is the whole program. Tests with the same word in
# LOCKS never run at the same time. NEEDS names programs that the test starts. With SEALCAST_TEST_CASES each test is a
# test of CTest's, too; without it the program is, cut into N shards: a process for each test costs more than many tests do.
function(sealcast_test name)
  if(NOT SEALCAST_TESTS)
    return()
  endif()
  cmake_parse_arguments(A "" "ALONE;SHARDS" "SOURCES;DEPENDS;LABELS;LOCKS;DEFINITIONS;ENVIRONMENT;NEEDS" ${ARGN})
  if(NOT A_LABELS)
    set(A_LABELS unit)
  endif()
  add_executable(${name} ${A_SOURCES})
  target_link_libraries(${name} PRIVATE sealcast_options ${A_DEPENDS} GTest::gmock GTest::gtest GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE ${A_DEFINITIONS})
  # A test file compiles a third faster this way; the code under test stays optimised.
  target_compile_options(${name} PRIVATE -O0)
  if(SEALCAST_SANITIZE MATCHES undefined)
    # Only the code under test needs the check; in tests it doubles the time to compile.
    target_compile_options(${name} PRIVATE -fno-sanitize=undefined)
  endif()
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  if(A_NEEDS)
    add_dependencies(${name} ${A_NEEDS})
  endif()

  if(A_LABELS STREQUAL "unit")
    sealcast_unit_tests_need(${name} ${A_NEEDS})
  endif()

  set(properties)
  if(NOT "unit" IN_LIST A_LABELS)
    list(APPEND A_LOCKS laboratory)
    list(APPEND properties COST 1000)
  endif()
  if(A_LOCKS)
    list(APPEND properties RESOURCE_LOCK "${A_LOCKS}")
  endif()
  set(others "*")
  if(A_ALONE)
    set(others "*-${A_ALONE}")
  endif()
  if(SEALCAST_TEST_CASES)
    if(A_ENVIRONMENT)
      list(APPEND properties ENVIRONMENT "${A_ENVIRONMENT}")
    endif()
    set(timeout 120)
    if(A_ALONE)
      gtest_discover_tests(${name} DISCOVERY_TIMEOUT 60 TEST_FILTER "${A_ALONE}" TEST_LIST ${name}_alone
        PROPERTIES LABELS "${A_LABELS}" ${properties} TIMEOUT ${timeout} RUN_SERIAL ON)
    endif()
    if(NOT A_ALONE STREQUAL "*")
      gtest_discover_tests(${name} DISCOVERY_TIMEOUT 60 TEST_FILTER "${others}" PROPERTIES LABELS "${A_LABELS}" ${properties} TIMEOUT ${timeout})
    endif()
    return()
  endif()

  if(A_ALONE)
    add_test(NAME ${name}.alone COMMAND ${name} --gtest_filter=${A_ALONE})
    set_tests_properties(${name}.alone PROPERTIES LABELS "${A_LABELS}" ${properties} TIMEOUT 300 RUN_SERIAL ON ENVIRONMENT "${A_ENVIRONMENT}")
  endif()
  if(NOT A_ALONE STREQUAL "*")
    if(NOT A_SHARDS)
      set(A_SHARDS 1)
    endif()
    foreach(shard RANGE 1 ${A_SHARDS})
      set(test ${name})
      if(A_SHARDS GREATER 1)
        set(test ${name}.${shard})
      endif()
      math(EXPR index "${shard} - 1")
      add_test(NAME ${test} COMMAND ${name} --gtest_filter=${others})
      set_tests_properties(${test} PROPERTIES LABELS "${A_LABELS}" ${properties} TIMEOUT 300
        ENVIRONMENT "GTEST_TOTAL_SHARDS=${A_SHARDS};GTEST_SHARD_INDEX=${index};${A_ENVIRONMENT}")
    endforeach()
  endif()
endfunction()
