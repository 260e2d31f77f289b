# ccache, if it is installed. The same source is compiled once for all work trees and build folders: paths below the
# root are relative for the cache, and the root does not appear in an object.
find_program(CCACHE ccache)
if(CCACHE AND NOT DEFINED CMAKE_CXX_COMPILER_LAUNCHER)
  foreach(language C CXX)
    set(CMAKE_${language}_COMPILER_LAUNCHER
      ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${CCACHE})
  endforeach()
endif()
add_compile_options(-ffile-prefix-map=${CMAKE_SOURCE_DIR}/=)
