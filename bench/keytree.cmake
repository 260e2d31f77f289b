# keytree_bench: rekeying a whole group by one datagram. Included by bench/CMakeLists.txt.
add_executable(keytree_bench ${CMAKE_SOURCE_DIR}/bench/keytree_bench.cc)
target_link_libraries(keytree_bench PRIVATE sealcast_options sealcast::handshake dep::crypto benchmark::benchmark)
set_target_properties(keytree_bench PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bench)
