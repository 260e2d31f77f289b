# handshake_bench: joins per second beside OpenSSL's. Included by bench/CMakeLists.txt.
add_executable(handshake_bench ${CMAKE_SOURCE_DIR}/bench/handshake_bench.cc ${CMAKE_SOURCE_DIR}/bench/handshake_parties.cc
  ${CMAKE_SOURCE_DIR}/bench/loopback.cc)
target_link_libraries(handshake_bench PRIVATE sealcast_options sealcast::handshake_testing dep::ssl benchmark::benchmark)
set_target_properties(handshake_bench PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bench)
