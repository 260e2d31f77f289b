# control_bench: what thousands of groups cost the data plane's control side. Included by bench/CMakeLists.txt.
sealcast_executable(control_bench SOURCES ${CMAKE_CURRENT_LIST_DIR}/control_bench.cc
  DEPENDS sealcast::dataplane_testing benchmark::benchmark)
set_target_properties(control_bench PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bench)
# rekey_bench: the key server's share of one group's rekey beside thousands of others.
sealcast_executable(rekey_bench SOURCES ${CMAKE_CURRENT_LIST_DIR}/rekey_bench.cc
  DEPENDS sealcast::keyserver dep::spdlog benchmark::benchmark)
set_target_properties(rekey_bench PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bench)
