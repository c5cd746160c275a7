module nydus-convert.test/zot

go 1.19

require zotregistry.io/zot v1.4.3

// Under its own name it is no module any more.
replace zotregistry.io/zot => github.com/project-zot/zot v1.4.3
