-- The schema itself stays for the moment: it holds the migration tool's own tables, which are dropped last.
drop sequence outbox.fence_seq;
