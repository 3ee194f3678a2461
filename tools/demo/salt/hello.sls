# Write one file for each minion, into the directory in the grain that the role sets.
hello:
  file.managed:
    - name: {{ grains['hello_dir'] }}/{{ grains['id'] }}
    - makedirs: True
    - contents: |
        Hello from {{ grains['id'] }}, role {{ grains['roles'][0] }}
