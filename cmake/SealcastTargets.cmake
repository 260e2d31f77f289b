# One way to declare each kind of target, so that warnings, sanitizers and test labels are the same everywhere.
include(GoogleTest)

add_library(sealcast_options INTERFACE)
target_compile_options(sealcast_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Wcast-qual -Wformat=2 -Wundef -Werror
  # g++ 12 sees uninitialised members in every inlined move of a std::variant (GCC bug 105593 and its kin).
  $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-maybe-uninitialized>
  $<$<COMPILE_LANG_AND_ID:CXX,Clang>:-Wno-gnu-zero-variadic-macro-arguments>)
target_include_directories(sealcast_options INTERFACE ${CMAKE_SOURCE_DIR})
if(SEALCAST_SANITIZE)
  target_compile_options(sealcast_options INTERFACE
    -fsanitize=${SEALCAST_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(sealcast_options INTERFACE -fsanitize=${SEALCAST_SANITIZE})
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

# sealcast_executable(NAME SOURCES … DEPENDS …): lands in build/<preset>/bin/
function(sealcast_executable name)
  cmake_parse_arguments(A "" "" "SOURCES;DEPENDS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  target_link_libraries(${name} PRIVATE sealcast_options ${A_DEPENDS})
endfunction()

# sealcast_test(NAME SOURCES … DEPENDS … LABELS unit|root|virtio|interop|e2e [ALONE]): GoogleTest program; label "unit"
# by default. Unit tests need no root and no hugepages, finish in seconds and are in nobody's way; all others run alone.
# So does a unit test that says ALONE, because a thread it waits for yields to whatever else the machine does.
function(sealcast_test name)
  cmake_parse_arguments(A "ALONE" "" "SOURCES;DEPENDS;LABELS" ${ARGN})
  if(NOT A_LABELS)
    set(A_LABELS unit)
  endif()
  set(timeout 120)
  add_executable(${name} ${A_SOURCES})
  target_link_libraries(${name} PRIVATE sealcast_options ${A_DEPENDS} GTest::gmock GTest::gtest GTest::gtest_main)
  if(SEALCAST_SANITIZE)
    # The sanitizers double what optimising a test costs, and find more where nothing was optimised away.
    target_compile_options(${name} PRIVATE -O0)
    set(timeout 300)
  endif()
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  if(A_ALONE OR NOT A_LABELS STREQUAL "unit")
    set(alone RUN_SERIAL ON)
  endif()
  gtest_discover_tests(${name} DISCOVERY_TIMEOUT 60 PROPERTIES LABELS "${A_LABELS}" TIMEOUT ${timeout} ${alone})
endfunction()
