# One file for each minion, in the directory that the role gives its minions as a grain.
hello:
  file.managed:
    - name: {{ grains['hello_dir'] }}/{{ grains['id'] }}
    - makedirs: True
    - contents: |
        Hello from {{ grains['id'] }}, role {{ grains['roles'][0] }}
