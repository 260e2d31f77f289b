# handshake_bench: joins per second in one process. Included by bench/CMakeLists.txt.
add_executable(handshake_bench ${CMAKE_SOURCE_DIR}/bench/handshake_bench.cc)
target_link_libraries(handshake_bench PRIVATE sealcast_options sealcast::handshake_testing benchmark::benchmark)
set_target_properties(handshake_bench PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bench)
